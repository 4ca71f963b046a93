// What can be done with a node: suspended and resumed, upgraded, a command run on it, laid anew.
import {
  MACHINE_TIME,
  action,
  acquireNode,
  connectAccount,
  isLive,
  isReady,
  question,
  servers,
  signInAsAdministrator,
  status,
} from "../support/deeds.ts";
import { testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

test("suspend, resume, upgrade, run a command, lay anew", async ({ hangar, visit }) => {
  test.setTimeout(300_000);
  const { page } = await visit();
  await signInAsAdministrator(page);
  await connectAccount(page);
  await acquireNode(page, "alpha");
  await isReady(page);
  await isLive(page);
  const head = page.locator(".page-head");
  const power = async () => (await hangar.behind("GET", "/state")).servers[0].status;

  await test.step("suspend says that it is still billed, and what stops", async () => {
    await action(page, "suspend-node").getByRole("button", { name: "Suspend" }).first().click();
    await expect(question(page)).toContainText("It is still billed");
    await expect(question(page)).toContainText("It leaves the pool default until it is resumed.");
    await question(page).locator('button[type="submit"]').click();
    await expect(status(head, "suspended")).toBeVisible(MACHINE_TIME);
    expect(await power()).toBe("off");
    await expect(action(page, "suspend-node")).toHaveAttribute("data-enabled", "false");
    await expect(page.locator(".facts")).toContainText("per month");
  });

  await test.step("resume", async () => {
    await action(page, "resume-node").getByRole("button", { name: "Resume" }).click();
    await isReady(page);
    expect(await power()).toBe("running");
  });

  await test.step("check health", async () => {
    await action(page, "check-health").getByRole("button", { name: "Check health" }).click();
    await expect(page.getByTestId(testid.OUTCOME)).toBeVisible();
    await expect(page.locator("#health")).toContainText("Nothing speaks against handing it out.");
  });

  if (hangar.sshIsOn) {
    await test.step("a command's exit code and output are shown in place, with markup as text", async () => {
      const form = page.getByTestId(testid.EXEC);
      await form.getByLabel("Command", { exact: true }).fill("printf '<b>out</b>'; echo err >&2; exit 7");
      await form.getByRole("button", { name: "Run command" }).click();
      const output = form.getByTestId(testid.OUTPUT);
      await expect(output).toHaveAttribute("data-exit", "7", MACHINE_TIME);
      await expect(output.locator('[data-stream="stdout"] pre')).toHaveText("<b>out</b>");
      await expect(output.locator('[data-stream="stderr"] pre')).toHaveText("err\n");
      await form.getByRole("link", { name: "Open the job" }).click();
      await expect(page.getByRole("heading", { level: 1, name: "node_exec · alpha" })).toBeVisible();
      await expect(page.getByTestId(testid.OUTPUT)).toHaveAttribute("data-exit", "7");
      await page.goBack();
      await expect(page.getByRole("heading", { level: 1, name: "alpha" })).toBeVisible();
    });
  }

  await test.step("an upgrade tells the price now and then, and the facts follow", async () => {
    await action(page, "upgrade-node").getByRole("link", { name: "Upgrade" }).click();
    const form = page.getByTestId(testid.UPGRADE_TYPE);
    const types = form.getByLabel("Type");
    const price = form.getByTestId(testid.UPGRADE_PRICE);
    await expect(price).toContainText(/^Now \d+\.\d\d EUR, then \d+\.\d\d EUR per month \(.+ per hour\): [+−]\d/);
    const wanted = await types.locator("option:not([disabled])").last().getAttribute("value");
    const before = await price.textContent();
    await types.selectOption(wanted!);
    await expect(price).not.toHaveText(before!);
    await expect(types.locator("option").filter({ hasText: "what it is now" })).toBeDisabled();
    await form.getByRole("button", { name: "Change type" }).click();
    await expect(page.getByTestId(testid.OUTCOME).first()).toBeVisible();
    await expect(page.locator(".fact").filter({ hasText: "Type" })).toContainText(wanted!, MACHINE_TIME);
    await isReady(page);
    expect(await power()).toBe("running");
  });

  await test.step("a rebuild wants the name and keeps the server", async () => {
    const [{ id }] = await servers(hangar);
    await action(page, "rebuild-node").getByRole("button", { name: "Rebuild" }).first().click();
    await expect(question(page)).toContainText("What is on it is lost. This cannot be undone.");
    await question(page).locator('button[type="submit"]').click();
    await expect(question(page), "not without the name").toBeVisible();
    await question(page).locator('[name="confirm"]').fill("alpha");
    await question(page).locator('button[type="submit"]').click();
    await expect(page.getByTestId(testid.JOBS_OF).locator(".job-card-kind").first()).toHaveText("node_rebuild");
    await expect(status(page.getByTestId(testid.JOBS_OF).locator(".job-card-head").first(), "succeeded")).toBeVisible(
      MACHINE_TIME,
    );
    await isReady(page);
    expect((await servers(hangar)).map((server) => server.id)).toEqual([id]);
  });
});
