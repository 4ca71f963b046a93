// What may not be done is shown with the reason and the way out, and what cannot be undone asks first.
import { MACHINE_TIME, askForService, furnish, isLive, signInByForge, status } from "../support/deeds.ts";
import { SECRET } from "../support/hangar.ts";
import { routes, testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

test("a blocked action explains itself, and a destruction wants the name", async ({ hangar, visit }) => {
  test.setTimeout(240_000);
  const administrator = await visit();
  const { page } = administrator;
  await furnish(hangar, page, ["alpha", "beta"]);
  const ada = await visit();
  await signInByForge(ada.page, "ada");
  await askForService(ada.page);
  const held = (await hangar.api("GET", "/api/v1/allocations?status=active")).items[0].pool_vm_id;
  const all = (await hangar.api("GET", "/api/v1/nodes")).items;
  const free = all.find((node: { id: string }) => node.id !== held);
  const destroy = page.getByTestId(testid.ACTION).and(page.locator('[data-identity="destroy-node"]'));

  await test.step("a node that somebody holds cannot be destroyed, and the page says what the API says", async () => {
    await page.goto(`${routes.NODES}/${held}`);
    await expect(destroy).toHaveAttribute("data-enabled", "false");
    await expect(destroy.getByRole("button")).toHaveCount(0);
    const response = await fetch(`${hangar.url}/api/v1/nodes/${held}/actions/destroy-node`, {
      method: "POST",
      headers: { "x-admin-secret": SECRET },
    });
    expect(response.status).toBe(409);
    const { code, recovery, gates } = await response.json();
    expect(code).toBe("action_blocked");

    await destroy.locator("summary").click();
    for (const [label, text] of [
      ["Cause", recovery.cause],
      ["Policy context", recovery.policy_context],
      ["Next step", recovery.next_step],
      ["Safe retry", recovery.safe_retry],
      ["Identity", "destroy-node"],
      ["Permission", "hangar.node.destroy"],
      ["Route", `POST /api/v1/nodes/${held}/actions/destroy-node`],
    ]) {
      const term = destroy.locator("dt", { hasText: new RegExp(`^${label}$`) });
      await expect(term).toBeVisible();
      await expect(term.locator("xpath=following-sibling::dd[1]")).toHaveText(text);
    }
    for (const gate of gates) {
      const line = destroy.locator(`[data-gate="${gate.name}"]`);
      await expect(line).toHaveAttribute("data-result", gate.result);
      await expect(line).toContainText(gate.reason);
    }
    await expect(destroy.locator('[data-gate="no-active-allocation"]')).toHaveAttribute("data-result", "blocked");
  });

  await test.step("a free one is destroyed only once its name is typed", async () => {
    await page.goto(`${routes.NODES}/${free.id}`);
    await isLive(page);
    await expect(destroy).toHaveAttribute("data-enabled", "true");
    const open = destroy.locator('button[command="show-modal"]');
    await open.click();
    const question = page.getByTestId(testid.CONFIRM).and(page.locator("[open]"));
    await expect(question).toContainText(`Destroys the server of ${free.name} at `);
    await expect(question).toContainText("This cannot be undone.");
    const confirm = question.locator('button[type="submit"]');
    for (const wrong of ["", `${free.name}x`]) {
      await question.locator('[name="confirm"]').fill(wrong);
      await confirm.click();
      await expect(question).toBeVisible();
    }
    expect((await hangar.api("GET", "/api/v1/jobs?kind=node_destroy")).items).toEqual([]);

    await question.locator('[name="confirm"]').fill(free.name);
    await confirm.click();
    await expect(question).toHaveCount(0);
    await expect(page.getByTestId(testid.OUTCOME).getByRole("link", { name: "Watch the job" })).toBeVisible();
    await expect(status(page.locator(".page-head"), "destroyed")).toBeVisible(MACHINE_TIME);
    await expect(destroy).toHaveAttribute("data-enabled", "false");
    const { servers } = await (await fetch(`${hangar.control}/state`)).json();
    expect(servers.map((server: { id: unknown }) => String(server.id))).toEqual([
      all.find((node: { id: string }) => node.id === held).infra_id,
    ]);
  });
});
