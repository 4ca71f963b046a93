// The truth at the vendor: a machine that was switched off behind Hangar's back, and one that nobody
// knows.
import {
  MACHINE_TIME,
  acquireNode,
  connectAccount,
  isLive,
  isReady,
  question,
  rows,
  servers,
  signInAsAdministrator,
  status,
} from "../support/deeds.ts";
import { routes, testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

test.use({ environment: { HANGAR_OBSERVE_INTERVAL: "2s", HANGAR_ORPHAN_GRACE: "3s" } });

test("a machine that is off is shown as drift, and resumed from there", async ({ hangar, visit }) => {
  test.setTimeout(180_000);
  const { page } = await visit();
  await signInAsAdministrator(page);
  await connectAccount(page);
  await acquireNode(page, "alpha");
  await isReady(page);
  await isLive(page);
  await expect(page.getByTestId(testid.FRESHNESS)).toContainText("Observed at the vendor");
  await expect(page.getByTestId(testid.DRIFT)).toHaveCount(0);

  const [{ id }] = await servers(hangar);
  await hangar.behind("POST", `/servers/${id}/power-off`);
  const drift = rows(page, testid.DRIFT);
  await expect(drift.and(page.locator('[data-id="status"]')), "seen without a reload").toBeVisible(MACHINE_TIME);
  await expect(drift.first()).toContainText("running");
  await expect(drift.first()).toContainText("off");

  const list = (await visit()).page;
  await signInAsAdministrator(list);
  await list.goto(routes.NODES);
  await expect(status(rows(list, testid.NODES), "drift")).toBeVisible();

  await page.locator("#drift").getByRole("button", { name: "Resume" }).click();
  await expect(page.getByTestId(testid.DRIFT)).toHaveCount(0, MACHINE_TIME);
  await isReady(page);
  await expect(status(rows(list, testid.NODES), "drift")).toHaveCount(0, MACHINE_TIME);
  expect((await hangar.behind("GET", "/state")).servers[0].status).toBe("running");
});

test("an orphan is reported, run dry, and swept", async ({ hangar, visit }) => {
  test.setTimeout(180_000);
  const { page } = await visit();
  await signInAsAdministrator(page);
  await connectAccount(page);
  await acquireNode(page, "alpha");
  await isReady(page);
  await page.goto(routes.ORPHANS);
  await expect(page.getByTestId(testid.EMPTY)).toContainText("Nothing differs");

  const [ours] = await servers(hangar);
  const stray = { ...ours.labels, "hangar-node": "nod_unknown" };
  await hangar.behind("POST", "/servers", { name: "left-over", labels: stray });
  await hangar.behind("POST", "/servers", { name: "somebody-elses", labels: { owner: "them" } });
  const unknown = rows(page, testid.ORPHANS_UNKNOWN);
  await test.step("it is reported, and what is not ours is not", async () => {
    await expect(async () => {
      await page.reload();
      await expect(unknown).toHaveCount(1, { timeout: 500 });
    }).toPass({ ...MACHINE_TIME, intervals: [500] });
    await expect(unknown).toContainText("left-over");
    await expect(unknown).toContainText("No node nod_unknown is known here.");
    await page.goto(routes.HOME);
    await expect(page.locator("a.figure").filter({ hasText: "Orphans" })).toContainText("1");
    await page.locator("a.figure").filter({ hasText: "Orphans" }).click();
  });

  await test.step("the dry run says what would be deleted, and deletes nothing", async () => {
    await page.getByRole("link", { name: "Dry run" }).click();
    await expect(async () => {
      await page.reload();
      await expect(rows(page, testid.SWEEP_TAKEN)).toHaveCount(1, { timeout: 500 });
    }).toPass({ ...MACHINE_TIME, intervals: [500] });
    await expect(rows(page, testid.SWEEP_TAKEN)).toContainText("left-over");
    expect((await servers(hangar)).map(({ name }) => name)).toContain("left-over");
    expect((await hangar.api("GET", "/api/v1/jobs?kind=orphan_sweep")).items).toEqual([]);
  });

  await test.step("the sweep asks, names it, and takes only it", async () => {
    await isLive(page);
    await page.getByRole("button", { name: "Sweep 1 server" }).click();
    await expect(question(page)).toContainText("Deletes 1 server at the vendor: left-over.");
    await expect(question(page)).toContainText("This cannot be undone.");
    await question(page).locator('button[type="submit"]').click();
    await page.getByTestId(testid.OUTCOME).getByRole("link", { name: "Watch the job" }).click();
    await expect(status(page.locator(".page-head"), "succeeded")).toBeVisible(MACHINE_TIME);
    const left = (await servers(hangar)).map(({ name }) => name);
    expect(left).toHaveLength(2);
    expect(left).toContain("somebody-elses");
    await page.goto(routes.ORPHANS);
    await expect(page.getByTestId(testid.EMPTY)).toContainText("Nothing differs");
  });
});
