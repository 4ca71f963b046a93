// What people do, by what they see: used by every test whose subject is something else.
import type { Locator, Page } from "@playwright/test";
import { BLUEPRINT, type Engine } from "./engine.ts";
import { type Hangar, SECRET } from "./hangar.ts";
import { routes, testid } from "./routes.ts";
import { expect } from "./test.ts";

/** How long a machine may take to come or to be cleaned, at a busy time of the machine that tests. */
export const MACHINE_TIME = { timeout: 90_000 };

/** A row of the table that is called so. */
export const rows = (page: Page, table: string): Locator => page.getByTestId(table).locator("tbody > tr");

/** The status that a row, a heading or a page says. */
export const status = (inside: Locator, word: string): Locator => inside.locator(`[data-status="${word}"]`);

/** The headings of a table, as a screen reader gets them. */
export const headings = (page: Page, table: string): Locator => page.getByTestId(table).getByRole("columnheader");

/** Waits until the page listens to what changes. */
export async function isLive(page: Page): Promise<void> {
  await expect(page.getByTestId(testid.LIVE)).toHaveAttribute("data-state", "connected");
}

/** Signs in by the admin secret. */
export async function signInAsAdministrator(page: Page): Promise<void> {
  await page.goto(routes.LOGIN);
  await page.getByLabel("Admin secret").fill(SECRET);
  await page.getByTestId(testid.LOGIN_SECRET).getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Overview" })).toBeVisible();
}

/** Signs in by the simulated Forge, where one picks who one is. */
export async function signInByForge(page: Page, login: string): Promise<void> {
  await page.goto(routes.LOGIN);
  await page.getByTestId(testid.LOGIN_FORGE).click();
  await expect(page.getByRole("heading", { name: "Sign in as" })).toBeVisible();
  await page.getByRole("button", { name: login }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Dashboard" })).toBeVisible();
}

/** Signs out by the menu. */
export async function signOut(page: Page): Promise<void> {
  await page.getByTestId(testid.WHO).click();
  await page.getByTestId(testid.LOGOUT).click();
  await expect(page).toHaveURL(new RegExp(`${routes.LOGIN}$`));
}

/** Connects the demo's account by the form as it is filled in. */
export async function connectAccount(page: Page): Promise<void> {
  await page.goto(routes.PROVIDERS);
  await page.getByTestId(testid.CONNECT).getByRole("button", { name: "Connect account" }).click();
  await expect(status(rows(page, testid.PROVIDERS).first(), "connected")).toBeVisible();
}

/** Connects the demo's DNS account by the form as it is filled in. */
export async function connectDns(page: Page): Promise<void> {
  await page.goto(`${routes.PROVIDERS}?kind=cloudflare`);
  const form = page.getByTestId(testid.CONNECT);
  await form.getByLabel("Name", { exact: true }).fill("names");
  await form.getByRole("button", { name: "Connect account" }).click();
  await expect(status(rows(page, testid.PROVIDERS).filter({ hasText: "names" }), "connected")).toBeVisible();
}

/** Acquires a node by the form, with these choices, and ends on its page. */
export async function acquireNode(page: Page, name: string, choices: Record<string, string> = {}): Promise<void> {
  await page.goto(routes.ACQUIRE);
  const form = page.getByTestId(testid.ACQUIRE);
  await form.getByLabel("Name", { exact: true }).fill(name);
  for (const [label, value] of Object.entries(choices)) await form.getByLabel(label).selectOption(value);
  await form.getByRole("button", { name: "Acquire node" }).click();
  await expect(page.getByRole("heading", { level: 1, name })).toBeVisible();
}

/** Waits until the node of this page is ready. */
export async function isReady(page: Page): Promise<void> {
  await expect(status(page.locator(".page-head"), "ready")).toBeVisible(MACHINE_TIME);
}

/** An installation with an account and this many ready machines in the pool `default`. */
export async function furnish(hangar: Hangar, page: Page, machines: string[]): Promise<void> {
  await signInAsAdministrator(page);
  await connectAccount(page);
  for (const name of machines) await acquireNode(page, name);
  await expect
    .poll(async () => (await hangar.api("GET", "/api/v1/pools/default")).counts.available, MACHINE_TIME)
    .toBe(machines.length);
}

/** The entry of an action in the panel of available actions. */
export const action = (page: Page, identity: string): Locator =>
  page.getByTestId(testid.ACTION).and(page.locator(`[data-identity="${identity}"]`));

/** The question that is open. */
export const question = (page: Page): Locator => page.getByTestId(testid.CONFIRM).and(page.locator("[open]"));

/** The machines at the simulated vendor. */
export async function servers(hangar: Hangar): Promise<{ id: number; name: string; labels: Record<string, string> }[]> {
  return (await hangar.behind("GET", "/state")).servers;
}

/** Asks for a service on the dashboard. */
export async function askForService(page: Page): Promise<void> {
  await page.goto(routes.DASHBOARD);
  await page.getByTestId(testid.REQUEST_SERVICE).getByRole("button", { name: "Ask for a service" }).click();
  await expect(rows(page, testid.ACTIVE_SERVICES)).toHaveCount(1);
}

/** Gives the one service back, on its page. */
export async function releaseService(page: Page): Promise<void> {
  await page.goto(routes.DASHBOARD);
  await rows(page, testid.ACTIVE_SERVICES).getByRole("link").first().click();
  await page.locator('[data-identity="release-allocation"]').getByRole("button", { name: "Release" }).first().click();
  const question = page.getByRole("dialog", { name: "Release this service?" });
  await question.getByRole("button", { name: "Release" }).click();
  await expect(status(page.locator(".page-head"), "released")).toBeVisible();
}

/** Connects a private Docker Engine by the form. */
export async function connectEngine(page: Page, engine: Engine): Promise<void> {
  await page.goto(`${routes.PROVIDERS}?kind=docker-compose`);
  const form = page.getByTestId(testid.CONNECT);
  await form.getByLabel("Name", { exact: true }).fill("engine");
  await form.getByLabel("Engine (optional)").fill(engine.host);
  await form.getByLabel("Public host (optional)").fill(engine.publicHost);
  await form.getByRole("button", { name: "Connect account" }).click();
  await expect(status(rows(page, testid.PROVIDERS).filter({ hasText: "engine" }), "connected")).toBeVisible();
}

/** The fields of one service or variable of the blueprint's form. */
export const blueprintRow = (page: Page, list: "Services" | "Variables", at: number): Locator =>
  page.getByTestId(testid.BLUEPRINT_FORM).getByRole("group", { name: list }).locator(".requirement").nth(at);

/** An engine's account, a blueprint `shop` and a ready stack `alpha` made from it, by the machine API. */
export async function furnishStack(hangar: Hangar, engine: Engine): Promise<{ account: string; node: string }> {
  const settings = { host: engine.host, public_host: engine.publicHost };
  const account = await hangar.api("POST", "/api/v1/providers", { kind: "docker-compose", name: "engine", settings });
  await hangar.api("PUT", "/api/v1/blueprints/shop", BLUEPRINT);
  const node = await acquireStack(hangar, account.id, "alpha");
  return { account: account.id, node };
}

/** A ready stack out of the blueprint `shop`, by the machine API. */
export async function acquireStack(hangar: Hangar, account: string, name: string): Promise<string> {
  const wish = { provider_id: account, name, pool: "default", compose: { blueprint: "shop" } };
  const { node_id: node } = await hangar.api("POST", "/api/v1/nodes", wish);
  await expect.poll(async () => (await hangar.api("GET", `/api/v1/nodes/${node}`)).state, MACHINE_TIME).toBe("ready");
  return node;
}

/** Has something done with a node by the machine API, and waits for how its job ends. */
export async function acted(hangar: Hangar, node: string, identity: string, input: object, end: string): Promise<void> {
  const { job_id: job } = await hangar.api("POST", `/api/v1/nodes/${node}/actions/${identity}`, input);
  await expect.poll(async () => (await hangar.api("GET", `/api/v1/jobs/${job}`)).status, MACHINE_TIME).toBe(end);
}
