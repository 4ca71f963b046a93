// The README's pictures, taken anew with UPDATE_SCREENSHOTS=1.
import { fileURLToPath } from "node:url";
import {
  MACHINE_TIME,
  acquireNode,
  acted,
  askForService,
  connectDns,
  furnish,
  furnishStack,
  isLive,
  isReady,
  rows,
  signInAsAdministrator,
  signInByForge,
} from "../support/deeds.ts";
import { routes, testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

const FOLDER = fileURLToPath(new URL("../../docs/screenshots/", import.meta.url));
const LOOK = { viewport: { width: 1440, height: 900 }, colorScheme: "light", reducedMotion: "reduce" } as const;

test("the pictures of stacks", async ({ hangar, engine, visit }) => {
  test.skip(process.env.UPDATE_SCREENSHOTS !== "1", "pictures are taken only when they are asked for");
  test.setTimeout(240_000);
  const { page } = await visit(LOOK);
  await signInAsAdministrator(page);
  await page.goto(routes.BLUEPRINTS);
  await isLive(page);
  const form = page.getByTestId(testid.BLUEPRINT_FORM);
  await form.getByLabel("Name", { exact: true }).fill("shop");
  await form.getByLabel("Name", { exact: true }).blur();
  // All of it at once: what is scrolled lies below the bar.
  await page.setViewportSize({ width: 1440, height: 2600 });
  await form.screenshot({ path: `${FOLDER}blueprint.png` });

  const { node } = await furnishStack(hangar, engine);
  await acted(hangar, node, "upgrade-node", { tag: "good2" }, "succeeded");
  await acted(hangar, node, "upgrade-node", { tag: "unhealthy" }, "failed");
  const [{ id }] = (await hangar.api("GET", "/api/v1/jobs?kind=node_upgrade")).items;
  await page.goto(`${routes.JOBS}/${id}`);
  await isLive(page);
  await page.setViewportSize({ width: 1440, height: 960 });
  await page.screenshot({ path: `${FOLDER}upgrade.png` });
});

test("the pictures of the README", async ({ hangar, visit }) => {
  test.skip(process.env.UPDATE_SCREENSHOTS !== "1", "pictures are taken only when they are asked for");
  test.setTimeout(240_000);
  const { page } = await visit(LOOK);
  await furnish(hangar, page, ["alpha"]);
  const ada = (await visit(LOOK)).page;
  await signInByForge(ada, "ada");
  await askForService(ada);
  await expect(ada.getByTestId(testid.COCKPIT).first()).toBeVisible();
  await ada.mouse.move(0, 0);
  await ada.screenshot({ path: `${FOLDER}dashboard.png`, clip: { x: 0, y: 0, width: 1440, height: 560 } });

  await connectDns(page);
  await acquireNode(page, "beta");
  const running = page.getByTestId(testid.STEP).and(page.locator('[data-status="running"]'));
  await expect(page.getByTestId(testid.STEP).and(page.locator('[data-status="succeeded"]')).nth(2)).toBeVisible();
  await expect(running).toBeVisible();
  await page.mouse.move(0, 0);
  await page.setViewportSize({ width: 1440, height: 1080 });
  await page.screenshot({ path: `${FOLDER}node.png` });
  await isReady(page);
  await page.setViewportSize({ width: 1440, height: 900 });
  // Beside the node's names one by hand, and one that somebody else has.
  await hangar.behindDns("POST", "/records", { name: `shop.${hangar.zone}`, type: "A", content: "203.0.113.5" });
  const accounts = (await hangar.api("GET", "/api/v1/providers")).items as { id: string; kind: string }[];
  const account = accounts.find(({ kind }) => kind === "cloudflare")!.id;
  for (const [name, state] of [
    ["shop", "failed"],
    ["docs", "active"],
  ]) {
    const record = { provider_id: account, zone: hangar.zone, name, type: "A", content: "192.0.2.7" };
    await hangar.api("POST", "/api/v1/dns-records", record);
    const made = async () => (await hangar.api("GET", `/api/v1/dns-records?q=${name}.${hangar.zone}`)).items[0]?.state;
    await expect.poll(made, MACHINE_TIME).toBe(state);
  }
  await page.goto(routes.DNS);
  await expect(rows(page, testid.DNS_RECORDS)).toHaveCount(4);
  await page.screenshot({ path: `${FOLDER}dns.png`, clip: { x: 0, y: 0, width: 1440, height: 600 } });
});
