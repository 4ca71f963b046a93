// Without JavaScript: reading, filtering and every form of the daily work.
import type { Page } from "@playwright/test";
import {
  MACHINE_TIME,
  acquireNode,
  action,
  blueprintRow,
  connectAccount,
  connectDns,
  connectEngine,
  question,
  rows,
  signInAsAdministrator,
  signInByForge,
  status,
} from "../support/deeds.ts";
import { FILE, PORT } from "../support/engine.ts";
import { routes, testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

/** Looks again until it is so: nothing on a plain page changes by itself. */
async function becomes(page: Page, what: () => Promise<void>) {
  await expect(async () => {
    await page.reload();
    await what();
  }).toPass({ ...MACHINE_TIME, intervals: [500] });
}

const now = { timeout: 1 };

test("connect, acquire, filter, ask and release by plain forms", async ({ hangar, visit }) => {
  test.setTimeout(240_000);
  const { page } = await visit({ javaScriptEnabled: false });
  const ada = (await visit({ javaScriptEnabled: false })).page;

  await test.step("sign in and connect", async () => {
    await signInAsAdministrator(page);
    await page.getByRole("link", { name: "Providers" }).click();
    const connect = page.getByTestId(testid.CONNECT);
    await connect.getByRole("button", { name: "Connect account" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "Providers" })).toBeVisible();
    await expect(status(rows(page, testid.PROVIDERS).first(), "connected")).toBeVisible();
  });

  await test.step("a form with a fault comes back with the reason", async () => {
    await page.goto(routes.NODES);
    await page.getByRole("link", { name: "Acquire node" }).click();
    const acquire = page.getByTestId(testid.ACQUIRE);
    await acquire.getByLabel("Name", { exact: true }).fill("Not a name");
    await acquire.getByRole("button", { name: "Acquire node" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "Acquire node" })).toBeVisible();
    await expect(acquire).toContainText("lower-case letters");
    expect((await hangar.api("GET", "/api/v1/nodes")).items).toEqual([]);
  });

  await test.step("acquire, and read on the node's page how it comes", async () => {
    const acquire = page.getByTestId(testid.ACQUIRE);
    await expect(acquire.getByTestId(testid.PRICE)).toContainText("per month");
    await acquire.getByLabel("Name", { exact: true }).fill("alpha");
    await acquire.getByRole("button", { name: "Acquire node" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "alpha" })).toBeVisible();
    await becomes(page, () => expect(page.getByTestId(testid.STEP).first()).toBeVisible(now));
    await becomes(page, () => expect(status(page.locator(".page-head"), "ready")).toBeVisible(now));
  });

  await test.step("filter a list", async () => {
    await page.goto(routes.NODES);
    const filters = page.getByRole("search");
    for (const [word, found] of [
      ["failed", 0],
      ["ready", 1],
    ] as const) {
      await filters.getByLabel("Status").selectOption(word);
      await filters.getByRole("button", { name: "Filter" }).click();
      await expect(page).toHaveURL(new RegExp(`status=${word}`));
      await expect(filters.getByLabel("Status")).toHaveValue(word);
      await expect(rows(page, testid.NODES)).toHaveCount(found);
    }
    await filters.getByRole("searchbox").fill("beta");
    await filters.getByRole("button", { name: "Filter" }).click();
    await expect(page.getByTestId(testid.NOTHING_FOUND)).toBeVisible();
    await page.getByTestId(testid.NOTHING_FOUND).getByRole("link", { name: "Clear filters" }).click();
    await expect(rows(page, testid.NODES)).toHaveCount(1);
  });

  await test.step("ask for a service and open it", async () => {
    await signInByForge(ada, "ada");
    await ada.getByTestId(testid.REQUEST_SERVICE).getByRole("button", { name: "Ask for a service" }).click();
    await expect(ada.getByRole("heading", { level: 1, name: /Dashboard|Service/ })).toBeVisible();
    await ada.goto(routes.DASHBOARD);
    const service = rows(ada, testid.ACTIVE_SERVICES);
    await expect(status(service, "active")).toBeVisible();
    const open = service.getByTestId(testid.COCKPIT);
    const [cockpit] = await Promise.all([ada.context().waitForEvent("page"), open.click()]);
    await expect(cockpit).toHaveTitle(/^Cockpit · alpha/);
    await cockpit.close();
  });

  await test.step("give it back: asked first, and cleaned after", async () => {
    await rows(ada, testid.ACTIVE_SERVICES).getByRole("link").first().click();
    await ada.locator('[data-identity="release-allocation"] button[command="show-modal"]').click();
    const question = ada.getByRole("dialog", { name: "Release this service?" });
    await question.getByRole("button", { name: "Release" }).click();
    await expect(ada).not.toHaveURL(/\/rpc\//);
    await ada.goto(routes.DASHBOARD);
    await becomes(ada, () => expect(rows(ada, testid.PAST_SERVICES)).toHaveCount(1, now));
    await page.goto(`${routes.POOLS}/default`);
    await becomes(page, () => expect(status(rows(page, testid.POOL_VMS), "available")).toHaveCount(1, now));
  });
});

test("settings, profiles and a node's verbs by plain forms", async ({ hangar, visit }) => {
  test.setTimeout(240_000);
  const { page } = await visit({ javaScriptEnabled: false });
  await signInAsAdministrator(page);
  await connectAccount(page);

  await test.step("pause, read why nothing can be acquired, go on", async () => {
    await page.getByRole("link", { name: "Settings" }).click();
    const rules = page.getByTestId(testid.ACQUISITION);
    await rules.getByLabel("Pause all acquisition").check();
    await rules.getByLabel("Reason").fill("moving house");
    await rules.getByRole("button", { name: "Save settings" }).click();
    await expect(page.getByTestId(testid.HOLD)).toContainText("moving house");
    await page.goto(routes.ACQUIRE);
    await expect(page.getByTestId(testid.HOLD)).toContainText("moving house");
    await expect(page.getByTestId(testid.ACQUIRE).getByRole("button", { name: "Acquire node" })).toBeDisabled();
    await page.goto(routes.SETTINGS);
    await rules.getByLabel("Pause all acquisition").uncheck();
    await rules.getByRole("button", { name: "Save settings" }).click();
    await expect(page.getByTestId(testid.HOLD)).toHaveAttribute("data-hold", "false");
  });

  await test.step("a profile is stored, read again with its script, and changed", async () => {
    await page.goto(routes.PROFILES);
    const form = page.getByTestId(testid.PROFILE_FORM);
    await form.getByLabel("Name", { exact: true }).fill("web");
    await form.getByLabel("Script").fill("a <b>\n\necho done\n");
    await form.getByRole("button", { name: "Create profile" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "Profile web" })).toBeVisible();
    await expect(form.getByLabel("Script")).toHaveValue("a <b>\n\necho done\n");
    await form.getByLabel("Time limit in seconds").fill("60");
    await form.getByRole("button", { name: "Save as a new version" }).click();
    await expect(rows(page, testid.PROFILE_VERSIONS)).toHaveCount(2);
    await expect(form.getByLabel("Script")).toHaveValue("a <b>\n\necho done\n");
    await form.getByLabel("Command 1").fill("not a command");
    await form.getByRole("button", { name: "Save as a new version" }).click();
    await expect(form.locator(".requirement").first()).toContainText("beginning with a letter or digit");
  });

  await test.step("a node is upgraded, and a command shows what it wrote on its job's page", async () => {
    await acquireNode(page, "alpha");
    await becomes(page, () => expect(status(page.locator(".page-head"), "ready")).toBeVisible(now));
    const home = page.url();
    if (hangar.sshIsOn) {
      const form = page.getByTestId(testid.EXEC);
      await form.getByLabel("Command", { exact: true }).fill("echo out; echo err >&2; exit 3");
      await form.getByRole("button", { name: "Run command" }).click();
      await expect(page).toHaveURL(new RegExp(`${routes.JOBS}/job_`));
      const output = page.getByTestId(testid.OUTPUT);
      await becomes(page, () => expect(output).toHaveAttribute("data-exit", "3", now));
      await expect(output.locator('[data-stream="stdout"] pre')).toHaveText("out\n");
      await expect(output.locator('[data-stream="stderr"] pre')).toHaveText("err\n");
      await page.goto(home);
    }
    await action(page, "upgrade-node").getByRole("link", { name: "Upgrade" }).click();
    const form = page.getByTestId(testid.UPGRADE_TYPE);
    await expect(form.getByTestId(testid.UPGRADE_PRICE)).toContainText(/^Now .+, then .+ per month\.$/);
    await form.getByRole("button", { name: "Change type" }).click();
    await expect(page).toHaveURL(new RegExp(`${routes.JOBS}/job_`));
    await becomes(page, () => expect(status(page.locator(".page-head"), "succeeded")).toBeVisible(now));
  });
});

test("a DNS record is made and deleted by plain forms", async ({ hangar, visit }) => {
  test.setTimeout(120_000);
  const { page } = await visit({ javaScriptEnabled: false });
  await signInAsAdministrator(page);
  await connectDns(page);
  await page.getByRole("link", { name: "DNS", exact: true }).click();
  await page.getByRole("link", { name: "Create record" }).click();
  const form = page.getByTestId(testid.CREATE_RECORD);
  const fill = async (content: string) => {
    await form.getByLabel("Name", { exact: true }).fill("www");
    await form.getByLabel("Content").fill(content);
    await form.getByRole("button", { name: "Create record" }).click();
  };
  await fill("nowhere");
  await expect(form).toContainText("an A record holds an IPv4 address");
  await fill("192.0.2.7");
  await expect(page.getByRole("heading", { level: 1, name: `www.${hangar.zone}` })).toBeVisible();
  await becomes(page, () => expect(status(page.locator(".page-head"), "active")).toBeVisible(now));
  expect(await hangar.records()).toMatchObject([{ name: `www.${hangar.zone}`, content: "192.0.2.7" }]);
  await action(page, "delete-dns-record").locator('button[command="show-modal"]').click();
  await expect(question(page)).toContainText(`Deletes the A record www.${hangar.zone} (192.0.2.7)`);
  await question(page).locator('button[type="submit"]').click();
  await becomes(page, () => expect(status(page.locator(".page-head"), "deleted")).toBeVisible(now));
  expect(await hangar.records()).toEqual([]);
});

test("a blueprint, a stack from it, its upgrade and its backup by plain forms", async ({ engine, visit }) => {
  test.setTimeout(240_000);
  const { page } = await visit({ javaScriptEnabled: false });
  await signInAsAdministrator(page);
  await connectEngine(page, engine);
  const head = page.locator(".page-head");
  const form = page.getByTestId(testid.BLUEPRINT_FORM);

  await test.step("a blueprint with a fault comes back with the reason; mended, it is stored", async () => {
    await page.goto(routes.BLUEPRINTS);
    const fill = async (file: string) => {
      await form.getByLabel("Name", { exact: true }).fill("shop");
      await form.getByLabel("Compose file").fill(file);
      await blueprintRow(page, "Variables", 0).getByLabel("Variable 1").fill("TITLE");
      await blueprintRow(page, "Variables", 1).getByLabel("Variable 2").fill("PASSWORD");
      await form.getByLabel("Port", { exact: true }).fill(String(PORT));
      await form.getByLabel("Tag", { exact: true }).fill("good1");
      await form.getByRole("button", { name: "Create blueprint" }).click();
    };
    await fill(FILE.replace("  db:\n", "    privileged: true\n  db:\n"));
    await expect(form).toContainText("line 9: services.web.privileged is not allowed");
    await fill(FILE);
    await expect(page.getByRole("heading", { level: 1, name: "Blueprint shop" })).toBeVisible();
    await expect(form.getByLabel("Compose file")).toHaveValue(FILE);
    await form.getByLabel("Tag", { exact: true }).fill("good2");
    await form.getByRole("button", { name: "Save as a new version" }).click();
    await expect(rows(page, testid.BLUEPRINT_VERSIONS)).toHaveCount(2);
  });

  await test.step("a stack is acquired, and brought to another tag", async () => {
    await acquireNode(page, "alpha");
    await becomes(page, () => expect(status(head, "ready")).toBeVisible(now));
    const home = page.url();
    await action(page, "upgrade-node").getByRole("link", { name: "Upgrade" }).click();
    const asked = page.getByTestId(testid.UPGRADE_TAG);
    await asked.getByLabel("Tag").fill("good1");
    await asked.getByRole("button", { name: "Upgrade" }).click();
    await expect(page).toHaveURL(new RegExp(`${routes.JOBS}/job_`));
    await becomes(page, () => expect(status(head, "succeeded")).toBeVisible(now));
    await page.goto(home);
    await expect(page.locator(".facts")).toContainText("good1");
  });

  await test.step("destroyed with a backup, which is downloaded and deleted", async () => {
    await action(page, "destroy-node").locator('button[command="show-modal"]').click();
    await question(page).locator('[name="confirm"]').fill("alpha");
    await question(page).locator('button[type="submit"]').click();
    await expect(page).not.toHaveURL(/\/rpc\//);
    await becomes(page, () => expect(status(head, "destroyed").or(status(head, "succeeded"))).toBeVisible(now));
    expect(await engine.things()).toEqual([]);
    await page.goto(routes.BACKUPS);
    const backup = rows(page, testid.BACKUPS);
    await expect(backup).toContainText("db-data.tar");
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      backup.getByRole("link", { name: "Download" }).click(),
    ]);
    expect(await download.failure()).toBeNull();
    await backup.locator('button[command="show-modal"]').click();
    await question(page).locator('button[type="submit"]').click();
    await expect(page.getByTestId(testid.EMPTY)).toContainText("No backups yet");
  });
});
