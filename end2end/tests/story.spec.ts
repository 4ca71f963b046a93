// The whole story, as a stranger lives it after one command: connect, acquire, watch, pool, allocate,
// open the cockpit, give back, and the machine is clean for the next.
import {
  MACHINE_TIME,
  connectDns,
  headings,
  isLive,
  isReady,
  rows,
  signInAsAdministrator,
  signInByForge,
  signOut,
  status,
} from "../support/deeds.ts";
import { routes, testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

/** The page keeps this as long as it is never loaded anew. */
type Kept = { kept?: string; seen?: string[] };

test("connect, acquire, pool, allocate, open the cockpit, give back", async ({ hangar, visit }) => {
  test.setTimeout(240_000);
  const administrator = await visit();
  const { page } = administrator;

  await test.step("a wrong secret is refused in words, the right one opens the overview", async () => {
    await page.goto(routes.HOME);
    await expect(page).toHaveURL(new RegExp(`${routes.LOGIN}`));
    const form = page.getByTestId(testid.LOGIN_SECRET);
    await form.getByLabel("Admin secret").fill("not the secret");
    await form.getByRole("button", { name: "Sign in" }).click();
    await expect(page.getByTestId(testid.FAULT)).toContainText("That secret is not right");
    await signInAsAdministrator(page);
  });

  const firstSteps = page.getByTestId(testid.FIRST_STEPS).locator("[data-step]");
  await test.step("the overview lists the four first steps, none done", async () => {
    await expect(firstSteps).toHaveCount(4);
    for (const step of await firstSteps.all()) await expect(step).toHaveAttribute("data-done", "false");
    await expect(page.getByTestId(testid.BANNER)).toContainText("simulated");
    await isLive(page);
    await firstSteps.getByRole("link", { name: "Connect an account" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "Providers" })).toBeVisible();
  });

  const connect = page.getByTestId(testid.CONNECT);
  const account = rows(page, testid.PROVIDERS).filter({ hasText: "acct" });
  await test.step("a wrong token: degraded with guidance, and what was typed stays", async () => {
    await expect(page.getByText("Nodes cannot be made until one is.")).toBeVisible();
    const wrong = "wrong".padEnd(64, "0");
    const token = connect.getByRole("textbox", { name: /token/i });
    await connect.getByLabel("Name", { exact: true }).fill("acct");
    await token.fill(wrong);
    await connect.getByRole("button", { name: "Connect account" }).click();
    await expect(status(account, "degraded")).toBeVisible();
    await expect(account).toContainText("PROVIDER_CREDENTIAL_REJECTED");
    await expect(account.locator(".guidance li").first()).not.toBeEmpty();
    await expect(connect.getByTestId(testid.OUTCOME)).toContainText("acct is stored, but degraded");
    await expect(connect.getByLabel("Name", { exact: true })).toHaveValue("acct");
    await expect(token).toHaveValue(wrong);
  });

  await test.step("the right token: connected", async () => {
    await connect.getByRole("textbox", { name: /token/i }).fill(hangar.token);
    await connect.getByRole("button", { name: "Connect account" }).click();
    await expect(connect.getByTestId(testid.OUTCOME)).toContainText("acct is connected");
    await expect(status(account, "connected")).toBeVisible();
    await expect(rows(page, testid.PROVIDERS).filter({ hasText: "acct" })).toHaveCount(1);
    await expect(headings(page, testid.PROVIDERS)).toHaveText([
      "Provider",
      "Status",
      "Secret",
      "Capabilities",
      "Guidance",
    ]);
    await expect(page.locator("body")).not.toContainText(hangar.token);
  });

  await test.step("a DNS account brings the zone for names", async () => {
    const tab = await administrator.context.newPage();
    await connectDns(tab);
    await tab.close();
  });

  const acquire = page.getByTestId(testid.ACQUIRE);
  await test.step("one form acquires a node, its price beside the button", async () => {
    await connect.getByRole("link", { name: "Acquire a node" }).click();
    const button = acquire.getByRole("button", { name: "Acquire node" });
    const price = acquire.getByTestId(testid.PRICE);
    await expect(price).toContainText(/^\d+\.\d{2,} EUR per month \(.+ per hour\) for \S+ at \S+\.$/);
    const [at, beside] = [await button.boundingBox(), await price.boundingBox()];
    expect(beside!.x, "the price is right of the button").toBeGreaterThanOrEqual(at!.x + at!.width);
    expect(Math.abs(beside!.y + beside!.height / 2 - at!.y - at!.height / 2), "on one line").toBeLessThan(at!.height / 2);
    const before = await price.textContent();
    const types = acquire.getByLabel("Type");
    const dearer = await types.locator("option:not([disabled])").last().getAttribute("value");
    await types.selectOption(dearer!);
    await expect(price).toContainText(`for ${dearer} at`);
    expect(await price.textContent()).not.toBe(before);
    await types.selectOption((await types.locator("option:not([disabled])").first().getAttribute("value"))!);
    await expect(price).toHaveText(before!);
    await expect(acquire.getByLabel("Profile")).toHaveValue(hangar.sshIsOn ? "base" : "none");
    await acquire.getByLabel("Name", { exact: true }).fill("alpha");
    await expect(acquire.getByTestId(testid.WHOLE_NAME)).toContainText(`alpha.${hangar.zone}`);
    // From here on every change of a step is written down by the page itself.
    await page.evaluate((step) => {
      const kept = window as Kept;
      const seen: string[] = (kept.seen = []);
      kept.kept = "yes";
      new MutationObserver(() => {
        for (const one of document.querySelectorAll<HTMLElement>(`[data-testid="${step}"]`)) {
          const what = `${one.dataset.step} ${one.dataset.status}`;
          if (!seen.includes(what)) seen.push(what);
        }
      }).observe(document, { subtree: true, childList: true, attributes: true });
    }, testid.STEP);
    await button.click();
  });

  const node = await test.step("the node's page shows its steps advance, without a reload", async () => {
    await expect(page.getByRole("heading", { level: 1, name: "alpha" })).toBeVisible();
    expect(page.url()).toContain(`${routes.NODES}/nod_`);
    const steps = page.getByTestId(testid.STEP);
    await expect(steps.filter({ has: page.locator('[data-status="pending"]') }).first()).toBeVisible();
    await isReady(page);
    for (const step of await steps.all()) await expect(step).toHaveAttribute("data-status", /^(succeeded|skipped)$/);
    const { kept, seen } = await page.evaluate(() => ({ kept: (window as Kept).kept, seen: (window as Kept).seen! }));
    expect(kept, "the page was not loaded anew").toBe("yes");
    const names = [...new Set(seen.map((what) => what.split(" ")[0]))];
    const advanced = names.filter((name) => seen.includes(`${name} pending`) && seen.includes(`${name} succeeded`));
    expect(advanced.length, `steps that were seen to advance: ${seen.join(", ")}`).toBeGreaterThanOrEqual(3);
    expect(seen.some((what) => what.endsWith(" running")), seen.join(", ")).toBe(true);
    await expect(page.getByRole("link", { name: "default", exact: true })).toBeVisible();
    return page.url().split("/").pop()!;
  });

  await test.step("its name stands at the vendor and is answered", async () => {
    const fqdn = `alpha.${hangar.zone}`;
    await expect(rows(page, testid.RECORDS_OF).first()).toContainText(fqdn);
    const { content } = (await hangar.records()).find(({ name, type }) => name === fqdn && type === "A")!;
    expect(await hangar.resolver().resolve4(fqdn)).toEqual([content]);
  });

  await test.step("the ready node is in the pool", async () => {
    await page.getByRole("link", { name: "default", exact: true }).click();
    await expect(page.getByRole("heading", { level: 1, name: "Pool default" })).toBeVisible();
    const machine = rows(page, testid.POOL_VMS);
    await expect(machine).toHaveCount(1);
    await expect(machine).toHaveAttribute("data-id", node);
    await expect(status(machine, "available")).toBeVisible();
  });

  await test.step("the administrator signs out", () => signOut(page));

  await test.step("a person signs in by the Forge and asks for a service", async () => {
    await signInByForge(page, "ada");
    await expect(page.getByText("No service is yours at the moment")).toBeVisible();
    await isLive(page);
    await page.getByTestId(testid.REQUEST_SERVICE).getByRole("button", { name: "Ask for a service" }).click();
    await expect(status(rows(page, testid.ACTIVE_SERVICES), "active")).toBeVisible();
    await expect(headings(page, testid.ACTIVE_SERVICES)).toHaveText([
      "Service",
      "Status",
      "Started",
      "Expires",
      "Cockpit",
    ]);
  });

  await test.step("Open → opens the real cockpit in a tab of its own", async () => {
    const open = rows(page, testid.ACTIVE_SERVICES).getByTestId(testid.COCKPIT);
    await expect(open).toHaveText("Open →");
    await expect(open).toHaveAttribute("rel", /noopener/);
    const [cockpit] = await Promise.all([administrator.context.waitForEvent("page"), open.click()]);
    await expect(cockpit).toHaveTitle(/^Cockpit · alpha/);
    await expect(cockpit.getByText("Running", { exact: true })).toBeVisible();
    expect(new URL(cockpit.url()).origin, "a machine's own page, not Hangar's").not.toBe(hangar.url);
    expect(await cockpit.evaluate(() => window.opener)).toBeNull();
    await cockpit.close();
  });

  const watching = await visit();
  await test.step("the administrator's tables show it", async () => {
    await signInAsAdministrator(watching.page);
    await expect(watching.page.getByTestId(testid.FIRST_STEPS), "all four first steps are done").toHaveCount(0);
    await watching.page.goto(routes.ALLOCATIONS);
    await expect(headings(watching.page, testid.ALLOCATIONS)).toHaveText([
      "id",
      "user",
      "forge id",
      "pool",
      "pool vm",
      "host",
      "provisioner",
      "status",
      "cost",
      "allocated",
      "expires",
      "released",
      "cockpit",
    ]);
    const allocation = rows(watching.page, testid.ALLOCATIONS);
    await expect(allocation).toHaveCount(1);
    await expect(allocation.locator("td")).toHaveCount(13);
    await expect(allocation.locator("td").nth(12).getByTestId(testid.COCKPIT)).toHaveText("Open →");
    await expect(status(allocation, "active")).toBeVisible();
    await watching.page.goto(routes.NODES);
    await expect(headings(watching.page, testid.NODES)).toHaveText([
      "Name",
      "Host",
      "Provider",
      "Status",
      "Ready",
      "Readiness codes",
      "Guidance",
    ]);
    await watching.page.goto(routes.JOBS);
    await expect(headings(watching.page, testid.JOBS)).toHaveText(["ID", "Type", "Status", "Attempts", "Error"]);
    await expect(status(rows(watching.page, testid.JOBS), "succeeded").first()).toBeVisible();
  });

  await test.step("the person gives it back; the machine is cleaned and available again, seen live", async () => {
    await watching.page.goto(`${routes.POOLS}/default`);
    const machines = rows(watching.page, testid.POOL_VMS);
    await expect(status(machines, "allocated")).toBeVisible();
    await isLive(watching.page);
    await watching.page.evaluate(() => ((window as Kept).kept = "yes"));

    await rows(page, testid.ACTIVE_SERVICES).getByRole("link").first().click();
    await page.locator('[data-identity="release-allocation"]').getByRole("button", { name: "Release" }).click();
    const question = page.getByRole("dialog", { name: "Release this service?" });
    await expect(question).toContainText("This cannot be undone.");
    await question.getByRole("button", { name: "Release" }).click();
    await expect(status(page.locator(".page-head"), "released")).toBeVisible(MACHINE_TIME);
    await expect(page.getByTestId(testid.COCKPIT)).toHaveCount(0);

    await expect(status(machines, "allocated")).toHaveCount(0, MACHINE_TIME);
    await expect(status(machines, "available")).toHaveCount(1, MACHINE_TIME);
    expect(await watching.page.evaluate(() => (window as Kept).kept)).toBe("yes");
    const { items } = await hangar.api("GET", "/api/v1/pools/default/vms?status=available");
    expect(items.map((vm: { id: string }) => vm.id), "another machine, not the used one").not.toContain(node);
    const left = await hangar.api("GET", "/api/v1/dns-records?status=live");
    expect(left.items.filter((record: { node_id: string }) => record.node_id === node), "its names went with it").toEqual([]);
  });

  await test.step("what is over is on record", async () => {
    await page.goto(routes.DASHBOARD);
    await expect(rows(page, testid.PAST_SERVICES)).toHaveCount(1);
    await expect(rows(page, testid.ACTIVE_SERVICES)).toHaveCount(0);
  });
});
