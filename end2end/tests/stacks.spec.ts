// Stacks on a real Docker Engine: a blueprint is made in the browser, a node is acquired from it, held by
// somebody, suspended, resumed, upgraded, rolled back and destroyed with a backup; at the end the
// `docker` command finds nothing.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Page } from "@playwright/test";
import {
  MACHINE_TIME,
  acquireNode,
  action,
  blueprintRow,
  connectEngine,
  isLive,
  isReady,
  question,
  rows,
  signInAsAdministrator,
  signInByForge,
  status,
} from "../support/deeds.ts";
import { BLUEPRINT, FILE, PORT } from "../support/engine.ts";
import { routes, testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

const run = promisify(execFile);

const form = (page: Page) => page.getByTestId(testid.BLUEPRINT_FORM);
const file = (page: Page) => form(page).getByLabel("Compose file");

/** Fills in the form of a blueprint as the stack of the tests has it; it begins with an example of two
 * services and two variables, an open one and a secret. */
async function fillBlueprint(page: Page, text: string): Promise<void> {
  await file(page).fill(text);
  await blueprintRow(page, "Variables", 0).getByLabel("Variable 1").fill("TITLE");
  await blueprintRow(page, "Variables", 0).getByLabel("Default").fill("Hello");
  await blueprintRow(page, "Variables", 0).getByLabel("What it is").fill("What stands above the page");
  await blueprintRow(page, "Variables", 1).getByLabel("Variable 2").fill("PASSWORD");
  await form(page).getByLabel("Port", { exact: true }).fill(String(PORT));
  await form(page).getByLabel("Tag", { exact: true }).fill("good1");
}

/** Brings the stack of this page to another tag, by the form, and waits for how it ends. */
async function upgrade(page: Page, tag: string, end: string): Promise<void> {
  await isLive(page);
  await action(page, "upgrade-node").getByRole("link", { name: "Upgrade" }).click();
  const asked = page.getByTestId(testid.UPGRADE_TAG);
  await asked.getByLabel("Tag").fill(tag);
  await asked.getByRole("button", { name: "Upgrade" }).click();
  const job = page.getByTestId(testid.JOBS_OF).locator("details").first();
  await expect(job.locator(".job-card-kind")).toHaveText("node_upgrade");
  await expect(status(job.locator(".job-card-head"), end)).toBeVisible(MACHINE_TIME);
}

const fact = (page: Page, label: string) =>
  page.locator(".fact").filter({ has: page.getByText(label, { exact: true }) });

test("from a blueprint to its backup, on a real engine", async ({ hangar, engine, visit }) => {
  test.setTimeout(300_000);
  const administrator = await visit();
  const { page } = administrator;
  await signInAsAdministrator(page);
  const head = page.locator(".page-head");

  await test.step("connect an engine: it tells both versions, and wants no secret", async () => {
    await connectEngine(page, engine);
    const account = rows(page, testid.PROVIDERS).filter({ hasText: "engine" });
    await expect(account).toContainText(/Docker Engine \d+.* and Docker Compose v?2\./);
    await expect(page.getByTestId(testid.OUTCOME)).toContainText("engine is connected");
    await page.getByTestId(testid.OUTCOME).getByRole("link", { name: "Open the account" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "engine" })).toBeVisible();
    await expect(page.getByTestId(testid.REPLACE_SECRET)).toHaveCount(0);
    await page.getByRole("link", { name: "Blueprints", exact: true }).click();
  });

  await test.step("make a blueprint", async () => {
    await expect(page.getByTestId(testid.EMPTY)).toContainText("No blueprints yet");
    await isLive(page);
    await form(page).getByLabel("Name", { exact: true }).fill("shop");
    await fillBlueprint(page, FILE);
    await form(page).getByRole("button", { name: "Create blueprint" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "Blueprint shop" })).toBeVisible();
    await expect(status(head, "version 1")).toBeVisible();
    await expect(file(page)).toHaveValue(FILE);
  });

  const first = await test.step("acquire a stack from it", async () => {
    await page.getByRole("link", { name: "Acquire node" }).click();
    await isLive(page);
    const acquire = page.getByTestId(testid.ACQUIRE);
    await expect(page.getByRole("heading", { level: 1, name: "Acquire node" })).toBeVisible();
    await acquire.getByLabel("Name", { exact: true }).fill("alpha");
    await expect(acquire.getByLabel("Blueprint")).toHaveValue("shop");
    await expect(acquire).toContainText("Hangar makes the secret PASSWORD for it.");
    await expect(acquire.getByLabel("PASSWORD")).toHaveCount(0);
    await acquire.getByLabel("TITLE").fill("a 'title' of $HOME");
    await acquire.getByLabel("Ready only once the cockpit answers").check();
    await expect(acquire.getByTestId(testid.PRICE)).toContainText("nothing is billed");
    await acquire.getByRole("button", { name: "Acquire node" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "alpha" })).toBeVisible();
    await isReady(page);
    await expect(fact(page, "Blueprint")).toContainText("shop version 1");
    await expect(fact(page, "Tag")).toContainText("good1");
    await expect(fact(page, "Variables")).toContainText("TITLE a 'title' of $HOME");
    await expect(rows(page, testid.SERVICES)).toContainText([/web\s*application\s*128 MiB/, /db\s*data\s*512 MiB/]);
    return page.url();
  });

  await test.step("what is stored later is another version; the node keeps its own and says so", async () => {
    await fact(page, "Blueprint").getByRole("link", { name: "shop" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "Blueprint shop" })).toBeVisible();
    await isLive(page);
    await blueprintRow(page, "Variables", 0).getByLabel("Default").fill("Good day");
    await form(page).getByRole("button", { name: "Save as a new version" }).click();
    await expect(page.getByTestId(testid.OUTCOME)).toContainText("Version 2 is stored");
    await expect(rows(page, testid.BLUEPRINT_VERSIONS)).toHaveCount(2);
    await page.goto(first);
    await expect(fact(page, "Blueprint")).toContainText("shop version 1");
    await fact(page, "Blueprint").getByRole("link", { name: "shop" }).click();
    await expect(page.getByText("This is an older one: version 1")).toBeVisible();
    await expect(blueprintRow(page, "Variables", 0).getByLabel("Default")).toHaveValue("Hello");
    await page.goto(first);
  });

  const ada = (await visit()).page;
  await test.step("somebody asks for it, and its own page answers at its cockpit", async () => {
    await signInByForge(ada, "ada");
    await isLive(ada);
    await ada.getByTestId(testid.REQUEST_SERVICE).getByRole("button", { name: "Ask for a service" }).click();
    const service = rows(ada, testid.ACTIVE_SERVICES);
    await expect(status(service, "active")).toBeVisible();
    const open = service.getByTestId(testid.COCKPIT);
    const [cockpit] = await Promise.all([ada.context().waitForEvent("page"), open.click()]);
    await expect(cockpit.locator("body")).toHaveText("this is app:good1");
    expect(new URL(cockpit.url()).hostname).toBe(engine.publicHost);
    await cockpit.close();
  });

  await test.step("a command runs in a service; what takes it from its holder waits", async () => {
    await page.reload();
    await isLive(page);
    const exec = page.getByTestId(testid.EXEC);
    await expect(exec.getByLabel("Service").locator("option")).toHaveText(["web", "db"]);
    await exec.getByLabel("Command", { exact: true }).fill('echo "$TITLE"; echo err >&2; exit 7');
    await exec.getByRole("button", { name: "Run command" }).click();
    const output = exec.getByTestId(testid.OUTPUT);
    await expect(output).toHaveAttribute("data-exit", "7", MACHINE_TIME);
    await expect(output.locator('[data-stream="stdout"] pre')).toHaveText("a 'title' of $HOME\n");
    await expect(output.locator('[data-stream="stderr"] pre')).toHaveText("err\n");
    for (const what of ["suspend-node", "upgrade-node", "destroy-node"]) {
      await expect(action(page, what)).toHaveAttribute("data-enabled", "false");
      await expect(action(page, what)).toContainText("holds it");
    }
  });

  await test.step("given back, it is replaced by the same again", async () => {
    await rows(ada, testid.ACTIVE_SERVICES).getByRole("link").first().click();
    await ada.locator('[data-identity="release-allocation"]').getByRole("button", { name: "Release" }).first().click();
    const asked = ada.getByRole("dialog", { name: "Release this service?" });
    await asked.getByRole("button", { name: "Release" }).click();
    await expect(status(ada.locator(".page-head"), "released")).toBeVisible(MACHINE_TIME);
    await expect(status(head, "destroyed")).toBeVisible(MACHINE_TIME);
    await page.goto(`${routes.NODES}?status=ready`);
    await isLive(page);
    const next = rows(page, testid.NODES).filter({ hasText: "alpha" });
    await expect(next).toHaveCount(1, MACHINE_TIME);
    await next.getByRole("link", { name: "alpha" }).click();
    await isReady(page);
    expect(page.url(), "another node").not.toBe(first);
    await expect(fact(page, "Blueprint")).toContainText("shop version 2");
  });

  const opens = page.getByTestId(testid.COCKPIT).first();
  const says = async (words: string) => {
    const answer = await page.request.get((await opens.getAttribute("href"))!);
    expect(await answer.text()).toBe(words);
  };
  const running = () => engine.docker("ps", "--format", '{{.Label "com.docker.compose.service"}}');

  await test.step("suspend stops its application alone; resume brings it back", async () => {
    await isLive(page);
    await action(page, "suspend-node").getByRole("button", { name: "Suspend" }).first().click();
    await expect(question(page)).toContainText("Stops web of alpha, its cockpit too. db runs on, and its data is kept.");
    await question(page).locator('button[type="submit"]').click();
    await expect(status(head, "suspended")).toBeVisible(MACHINE_TIME);
    expect(await running()).toEqual(["db"]);
    await action(page, "resume-node").getByRole("button", { name: "Resume" }).click();
    await isReady(page);
    expect((await running()).sort()).toEqual(["db", "web"]);
    await says("this is app:good1\n");
  });

  await test.step("an upgrade to a good tag", async () => {
    await upgrade(page, "good2", "succeeded");
    await expect(fact(page, "Tag")).toContainText("good2");
    await isReady(page);
    await says("this is app:good2\n");
  });

  await test.step("an upgrade to an unhealthy tag is rolled back, and the job's timeline says so", async () => {
    await upgrade(page, "unhealthy", "failed");
    const job = page.getByTestId(testid.JOBS_OF).locator("details").first();
    const steps = job.getByTestId(testid.STEP);
    await expect(steps.and(page.locator('[data-step="upgrade_services"]'))).toHaveAttribute("data-status", "failed");
    await expect(steps.and(page.locator('[data-step="roll_back"]'))).toHaveAttribute("data-status", "succeeded");
    await expect(job).toContainText("the service web is unhealthy; it was rolled back");
    await expect(fact(page, "Tag")).toContainText("good2");
    await isReady(page);
    await says("this is app:good2\n");
    await job.getByRole("link", { name: "Open the job" }).click();
    await expect(page.getByRole("heading", { level: 1 })).toContainText("node_upgrade");
    await expect(page.locator('[data-step="roll_back"]')).toHaveAttribute("data-status", "succeeded");
    await page.goBack();
    await isReady(page);
  });

  await test.step("destroy with a backup: nothing is left on the engine", async () => {
    await isLive(page);
    await action(page, "destroy-node").locator('button[command="show-modal"]').click();
    await expect(question(page)).toContainText("Destroys the stack alpha at engine, with its volumes and networks.");
    await expect(question(page).getByLabel("Its data")).toHaveValue("true");
    await question(page).locator('[name="confirm"]').fill("alpha");
    await question(page).locator('button[type="submit"]').click();
    await expect(status(head, "destroyed")).toBeVisible(MACHINE_TIME);
    expect(await engine.things()).toEqual([]);
  });

  await test.step("the backup is listed, downloaded, and deleted after a question", async () => {
    await page.goto(routes.SETTINGS);
    await page.locator(".place").filter({ hasText: "Backups" }).click();
    const backup = rows(page, testid.BACKUPS);
    await expect(backup).toHaveCount(1);
    await expect(backup).toContainText("version 2, tag good2");
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      backup.getByRole("link", { name: "Download" }).click(),
    ]);
    expect(download.suggestedFilename()).toMatch(/^alpha.*\.tar$/);
    const path = await download.path();
    const volume = 'tar -xOf "$1" db-data.tar | tar -x --to-stdout --wildcards "*file"';
    const { stdout } = await run("sh", ["-c", volume, "sh", path]);
    expect(stdout, "the secret that Hangar made, as the store wrote it down").toMatch(/^\S{20,}\n$/);
    const { stdout: secrets } = await run("tar", ["--extract", "--to-stdout", "--file", path, "secrets.env"]);
    expect(secrets, "and for whoever needs it to open what was kept").toContain(`=${stdout}`);
    await isLive(page);
    await backup.getByRole("button", { name: "Delete" }).first().click();
    await expect(question(page)).toContainText("this is all there is of it. This cannot be undone.");
    await question(page).locator('button[type="submit"]').click();
    await expect(page.getByTestId(testid.EMPTY)).toContainText("No backups yet");
    expect((await hangar.api("GET", "/api/v1/backups")).items).toEqual([]);
  });
});

test("a pool's template is a stack, by the form that acquires one", async ({ hangar, engine, visit }) => {
  test.setTimeout(120_000);
  const { page } = await visit();
  await signInAsAdministrator(page);
  await connectEngine(page, engine);
  await hangar.api("PUT", "/api/v1/blueprints/shop", BLUEPRINT);
  await hangar.api("POST", "/api/v1/pools", { name: "stacks" });
  await page.goto(`${routes.POOLS}/stacks`);
  await isLive(page);
  await page.getByRole("link", { name: "Change template" }).click();
  const template = page.getByTestId(testid.POOL_TEMPLATE);
  await template.getByLabel("Name", { exact: true }).fill("one");
  await template.getByLabel("Tag").fill("good2");
  await template.getByLabel("TITLE").fill("Of the pool");
  await template.getByLabel("Keep a backup of what the pool takes away").check();
  await template.getByRole("button", { name: "Change template" }).click();
  await expect(fact(page, "Template")).toContainText("blueprint shop, tag good2, with backups");

  await test.step("opened anew, it holds what it was given, and is changed", async () => {
    await page.goto(`${routes.POOLS}/stacks`);
    await isLive(page);
    await page.getByRole("link", { name: "Change template" }).click();
    await expect(template.getByLabel("Blueprint")).toHaveValue("shop");
    await expect(template.getByLabel("Tag")).toHaveValue("good2");
    await expect(template.getByLabel("TITLE")).toHaveValue("Of the pool");
    await expect(template.getByLabel("Keep a backup of what the pool takes away")).toBeChecked();
    await template.getByLabel("Tag").fill("good1");
    await template.getByRole("button", { name: "Change template" }).click();
    await expect(fact(page, "Template")).toContainText("blueprint shop, tag good1, with backups");
    const { template: stored } = await hangar.api("GET", "/api/v1/pools/stacks");
    expect(stored.compose.variables).toEqual({ TITLE: "Of the pool" });
  });
});

test("a blueprint that reaches out is refused with field and line, and what was typed stays", async ({ visit }) => {
  const administrator = await visit();
  const { page } = administrator;
  await signInAsAdministrator(page);
  await page.goto(routes.BLUEPRINTS);
  await isLive(page);
  await form(page).getByLabel("Name", { exact: true }).fill("shop");
  await fillBlueprint(page, FILE);
  const wrong = page.locator(".field-wrong");
  const below = (line: string) => FILE.replace("  db:\n", `    ${line}\n  db:\n`);
  const refused: [string, string, RegExp][] = [
    ["privileged", below("privileged: true"), /^line 9: services\.web\.privileged is not allowed: it reaches out/],
    ["a path of the host", below("volumes: [\"/etc:/mnt\"]"), /^line 9: services\.web\.volumes /],
    ["an alias", FILE.replace("[db]", "&a [db]") + "networks: *a\n", /^line 8: must not have anchors/],
    ["an unknown variable", below("command: [\"${NOBODY}\"]"), /^line 9: services\.web\.command refers to NOBODY, which is none/],
    ["a fixed port", FILE.replace(`"${PORT}"`, `"80:${PORT}"`), /^line 4: services\.web\.ports /],
    ["no YAML", "services: [", /^line \d+: is not YAML/],
    ["several", below("privileged: true\n    build: ."), /^line 9: .*privileged.*\nline 10: services\.web\.build /],
  ];
  for (const [what, text, said] of refused) {
    await test.step(what, async () => {
      await file(page).fill(text);
      await form(page).getByRole("button", { name: "Create blueprint" }).click();
      const field = wrong.filter({ has: page.getByLabel("Compose file") });
      await expect(field.locator(".field-error")).toHaveText(said);
      expect(await field.locator(".field-error").textContent()).toMatch(said);
      await expect(file(page)).toHaveValue(text);
      await expect(form(page).getByLabel("Name", { exact: true })).toHaveValue("shop");
    });
  }

  await test.step("each list says which of its rows is wrong", async () => {
    await file(page).fill(FILE);
    await blueprintRow(page, "Services", 1).getByLabel("Service 2").fill("store");
    await blueprintRow(page, "Services", 2).getByLabel(/^Memory/).fill("64");
    await blueprintRow(page, "Variables", 2).getByLabel("Variable 3").fill("not-a-name");
    await form(page).getByLabel("Port", { exact: true }).fill("81");
    await form(page).getByRole("button", { name: "Create blueprint" }).click();
    await expect(blueprintRow(page, "Services", 2)).toContainText("which service of the file is it?");
    await expect(blueprintRow(page, "Variables", 2)).toContainText("capital letters, digits and _");
    await blueprintRow(page, "Services", 2).getByLabel(/^Memory/).fill("");
    await blueprintRow(page, "Variables", 2).getByLabel("Variable 3").fill("");
    await form(page).getByRole("button", { name: "Create blueprint" }).click();
    await expect(blueprintRow(page, "Services", 1)).toContainText("is no service of the file");
    await expect(wrong.filter({ has: page.getByLabel("Port", { exact: true }) })).toContainText("is not among the ports");
    await expect(wrong.filter({ has: page.getByLabel("Compose file") })).toContainText("services.db must also stand among the blueprint's services");
  });

  administrator.isQuiet(/blueprints\/save/);
  await test.step("once it is mended, it is stored", async () => {
    await blueprintRow(page, "Services", 1).getByLabel("Service 2").fill("db");
    await form(page).getByLabel("Port", { exact: true }).fill(String(PORT));
    await form(page).getByRole("button", { name: "Create blueprint" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "Blueprint shop" })).toBeVisible();
  });
});

test("the example that the form begins with needs nothing but a name", async ({ hangar, visit }) => {
  const { page } = await visit();
  await signInAsAdministrator(page);
  await page.goto(routes.BLUEPRINTS);
  await isLive(page);
  await form(page).getByText("What the file may hold").click();
  await expect(form(page).getByText("Paths of the host are refused.")).toBeVisible();
  await form(page).getByLabel("Name", { exact: true }).fill("first");
  await form(page).getByRole("button", { name: "Create blueprint" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Blueprint first" })).toBeVisible();
  const stored = await hangar.api("GET", "/api/v1/blueprints/first");
  expect(stored.definition.services.map(({ name, role }: { name: string; role: string }) => `${name} ${role}`)).toEqual([
    "web application",
    "db data",
  ]);

  await test.step("deleted after a question, it is gone from the list", async () => {
    await isLive(page);
    await page.getByRole("button", { name: "Delete" }).first().click();
    await expect(question(page)).toContainText("Its versions stay readable");
    await question(page).locator('button[type="submit"]').click();
    await expect(page.getByRole("heading", { level: 1, name: "Blueprints" })).toBeVisible();
    await expect(page.getByTestId(testid.EMPTY)).toContainText("No blueprints yet");
  });
});
