// Every page, light and dark, for everybody: axe finds nothing serious, and nothing is wider than the
// window.
import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import {
  MACHINE_TIME,
  acquireNode,
  acquireStack,
  acted,
  askForService,
  connectDns,
  furnish,
  furnishStack,
  isReady,
  servers,
  signInAsAdministrator,
  signInByForge,
} from "../support/deeds.ts";
import { BLUEPRINT } from "../support/engine.ts";
import type { Hangar } from "../support/hangar.ts";
import { routes, testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

test.use({ environment: { HANGAR_OBSERVE_INTERVAL: "1s", HANGAR_ORPHAN_GRACE: "1s" } });

const WIDTHS = [360, 768, 1440];

/** What is wrong with a page, one line each. */
async function faults(page: Page, path: string): Promise<string[]> {
  const found: string[] = [];
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.goto(path);
  await expect(page.locator("main h1").first()).toBeVisible();
  await expect(page.locator("[aria-busy=true]")).toHaveCount(0);
  // What is folded is part of the page.
  await page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    // Only colours differ between the two; everything else is looked at once.
    const axe = new AxeBuilder({ page });
    const { violations } = await (colorScheme === "light" ? axe : axe.withRules(["color-contrast"])).analyze();
    for (const { id, impact, help, nodes } of violations) {
      if (impact !== "serious" && impact !== "critical") continue;
      const where = nodes.map((node) => `${node.target.join(" ")} ${node.html.slice(0, 120)}`);
      found.push(`${path} ${colorScheme}: ${id} (${impact}): ${help}: ${where.slice(0, 3).join(" | ")}`);
    }
  }
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    const wide = await page.evaluate(() => {
      const root = document.documentElement;
      if (root.scrollWidth <= root.clientWidth) return null;
      const beyond = [...document.querySelectorAll("main *")].filter(
        (one) => one.getBoundingClientRect().right > root.clientWidth + 1,
      );
      return `${root.scrollWidth} px: ${beyond[0]?.outerHTML.slice(0, 200)}`;
    });
    if (wide) found.push(`${path} at ${width} px is as wide as ${wide}`);
  }
  return found;
}

async function all(page: Page, paths: string[]): Promise<string[]> {
  const found: string[] = [];
  for (const path of paths) found.push(...(await faults(page, path)));
  return found;
}

const first = async (hangar: Hangar, list: string): Promise<string> =>
  (await hangar.api("GET", `/api/v1/${list}`)).items[0].id;

test("every page can be read and used by everybody, and fits the window", async ({ hangar, visit }) => {
  test.setTimeout(300_000);
  const administrator = await visit({ reducedMotion: "reduce" });
  await furnish(hangar, administrator.page, ["alpha"]);
  await acquireNode(administrator.page, "beta", { Pool: "" });
  await isReady(administrator.page);
  await connectDns(administrator.page);
  const { id: names } = (await hangar.api("GET", "/api/v1/providers")).items.find(
    ({ kind }: { kind: string }) => kind === "cloudflare",
  );
  // One record as it should be, and one under a name that is taken.
  await hangar.behindDns("POST", "/records", { name: `taken.${hangar.zone}`, type: "A", content: "203.0.113.5" });
  for (const name of ["www", "taken"]) {
    const record = { provider_id: names, zone: hangar.zone, name, type: "A", content: "192.0.2.7" };
    await hangar.api("POST", "/api/v1/dns-records", record);
  }
  const records = async (state: string): Promise<{ id: string }[]> =>
    (await hangar.api("GET", `/api/v1/dns-records?status=${state}`)).items;
  for (const state of ["active", "failed"]) {
    await expect.poll(async () => (await records(state)).length, MACHINE_TIME).toBe(1);
  }
  const [[active], [failed]] = [await records("active"), await records("failed")];
  const [ada, grace, nobody] = [
    await visit({ reducedMotion: "reduce" }),
    await visit({ reducedMotion: "reduce" }),
    await visit({ reducedMotion: "reduce" }),
  ];
  await signInByForge(ada.page, "ada");
  await askForService(ada.page);
  await signInByForge(grace.page, "grace");
  await askForService(grace.page);

  const held = (await hangar.api("GET", "/api/v1/allocations?status=active")).items[0];
  const nodes = (await hangar.api("GET", "/api/v1/nodes")).items as { id: string; infra_id: string }[];
  const free = nodes.find(({ id }) => id !== held.pool_vm_id)!.id;
  // Something to see where the truth is told: a machine that is off, and one that nobody knows.
  const [{ labels }] = await servers(hangar);
  await hangar.behind("POST", "/servers", { name: "stranger", labels: { ...labels, "hangar-node": "nod_unknown" } });
  await hangar.behind("POST", `/servers/${nodes.find(({ id }) => id === held.pool_vm_id)!.infra_id}/power-off`);
  await expect.poll(async () => (await hangar.api("GET", "/api/v1/orphans")).items.length, MACHINE_TIME).toBe(1);
  expect(
    await all(administrator.page, [
      routes.HOME,
      routes.PROVIDERS,
      `${routes.PROVIDERS}/${await first(hangar, "providers")}`,
      routes.NODES,
      `${routes.NODES}?q=nothing-is-called-so`,
      routes.ACQUIRE,
      `${routes.NODES}/${held.pool_vm_id}`,
      `${routes.NODES}/${free}?do=upgrade`,
      `${routes.PROVIDERS}/${names}`,
      routes.DNS,
      `${routes.DNS}?q=nothing-is-called-so`,
      routes.DNS_CREATE,
      `${routes.DNS}/${active.id}`,
      `${routes.DNS}/${failed.id}`,
      routes.POOLS,
      `${routes.POOLS}/default`,
      routes.ALLOCATIONS,
      routes.USERS,
      routes.JOBS,
      `${routes.JOBS}/${await first(hangar, "jobs")}`,
      routes.AUDIT,
      routes.SETTINGS,
      routes.PROFILES,
      `${routes.PROFILES}/base`,
      `${routes.PROFILES}/none`,
      routes.ORPHANS,
      routes.ORPHANS_DRY,
      routes.ACCOUNT,
    ]),
  ).toEqual([]);
  expect(await all(ada.page, [routes.DASHBOARD, `/services/${held.id}`, routes.ACCOUNT])).toEqual([]);
  expect(await all(grace.page, [routes.DASHBOARD])).toEqual([]);
  expect(await all(nobody.page, [routes.LOGIN])).toEqual([]);

  // What lies over a page.
  const { page } = administrator;
  await page.goto(routes.ALLOCATIONS);
  await page.getByRole("button", { name: "Release" }).first().click();
  await expect(page.getByTestId(testid.CONFIRM).and(page.locator("[open]"))).toBeVisible();
  const { violations } = await new AxeBuilder({ page }).include("dialog[open]").analyze();
  expect(violations.filter(({ impact }) => impact === "serious" || impact === "critical")).toEqual([]);
});

test("an installation with nothing in it can be read and used by everybody too", async ({ visit }) => {
  test.setTimeout(240_000);
  const administrator = await visit({ reducedMotion: "reduce" });
  const { page } = administrator;
  expect(await faults(page, `${routes.LOGIN}?error=unauthorized`)).toEqual([]);
  await signInAsAdministrator(page);
  expect(
    await all(page, [
      routes.HOME,
      routes.PROVIDERS,
      routes.NODES,
      routes.DNS,
      routes.DNS_CREATE,
      routes.POOLS,
      routes.ALLOCATIONS,
      routes.JOBS,
      routes.ACQUIRE,
      routes.SETTINGS,
      routes.PROFILES,
      routes.ORPHANS,
      routes.DASHBOARD,
      routes.BLUEPRINTS,
      routes.BACKUPS,
      `${routes.PROVIDERS}?kind=docker-compose`,
    ]),
  ).toEqual([]);
});

test("everything of stacks can be read and used by everybody, and fits the window", async ({ hangar, engine, visit }) => {
  test.setTimeout(300_000);
  const { page } = await visit({ reducedMotion: "reduce" });
  await signInAsAdministrator(page);
  const { account, node } = await furnishStack(hangar, engine);
  // A stack that went back to what it was, one that left a backup, and words that do not break.
  const long = "a-blueprint-whose-name-is-as-long-as-is";
  const description = "nothing-of-this-can-be-broken-anywhere-".repeat(6);
  const variables = [{ name: "A_VARIABLE_WHOSE_NAME_IS_LONGER_THAN_THE_COLUMN_IT_STANDS_IN", description }];
  await hangar.api("PUT", `/api/v1/blueprints/${long}`, { ...BLUEPRINT, variables: [...BLUEPRINT.variables, ...variables] });
  await hangar.api("PUT", "/api/v1/blueprints/shop", BLUEPRINT);
  const compose = { blueprint: "shop", tag: "good2", backup: true };
  const template = { provider_id: account, name: "one", compose };
  await hangar.api("PATCH", "/api/v1/pools/default", { template });
  await acted(hangar, node, "upgrade-node", { tag: "unhealthy" }, "failed");
  await acted(hangar, await acquireStack(hangar, account, "beta"), "destroy-node", { backup: true }, "succeeded");
  expect(
    await all(page, [
      `${routes.PROVIDERS}/${account}`,
      routes.BLUEPRINTS,
      `${routes.BLUEPRINTS}/${long}`,
      `${routes.BLUEPRINTS}/shop?version=1`,
      routes.BACKUPS,
      `${routes.BACKUPS}?q=nothing-is-called-so`,
      `${routes.ACQUIRE}&account=${account}`,
      `${routes.POOLS}/default?do=template`,
      `${routes.NODES}/${node}?do=upgrade`,
      `${routes.JOBS}/${await first(hangar, "jobs?kind=node_upgrade")}`,
      routes.SETTINGS,
    ]),
  ).toEqual([]);

  await page.goto(routes.BACKUPS);
  await page.getByRole("button", { name: "Delete" }).first().click();
  await expect(page.getByTestId(testid.CONFIRM).and(page.locator("[open]"))).toBeVisible();
  const { violations } = await new AxeBuilder({ page }).include("dialog[open]").analyze();
  expect(violations.filter(({ impact }) => impact === "serious" || impact === "critical")).toEqual([]);
});
