// More people than machines: who waits knows the place and the reason, and is served by itself.
import {
  MACHINE_TIME,
  askForService,
  furnish,
  isLive,
  releaseService,
  rows,
  signInAsAdministrator,
  signInByForge,
  status,
} from "../support/deeds.ts";
import { testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

test("who waits sees place and reason, moves up live, and gets the machine once it was cleaned", async ({
  hangar,
  visit,
}) => {
  test.setTimeout(240_000);
  const administrator = await visit();
  await furnish(hangar, administrator.page, ["alpha"]);

  const [ada, grace, alan] = [await visit(), await visit(), await visit()];
  const service = (visitor: typeof ada) => rows(visitor.page, testid.ACTIVE_SERVICES);
  await signInByForge(ada.page, "ada");
  await askForService(ada.page);
  await expect(status(service(ada), "active")).toBeVisible();
  const used = (await hangar.api("GET", "/api/v1/allocations?status=active")).items[0].pool_vm_id;

  for (const [visitor, login, place] of [
    [grace, "grace", 1],
    [alan, "alan", 2],
  ] as const) {
    await signInByForge(visitor.page, login);
    await askForService(visitor.page);
    await expect(status(service(visitor), "waiting")).toBeVisible();
    await expect(service(visitor)).toContainText(`Number ${place} in line.`);
    const [waiting] = (await hangar.api("GET", `/api/v1/allocations?status=waiting`)).items.filter(
      (one: { position: number }) => one.position === place,
    );
    expect(waiting.reason).toBeTruthy();
    await expect(service(visitor)).toContainText(waiting.reason);
    await expect(service(visitor).getByTestId(testid.COCKPIT)).toHaveCount(0);
    await isLive(visitor.page);
    await visitor.page.evaluate(() => ((window as { kept?: string }).kept = "yes"));
  }

  await releaseService(ada.page);
  await expect(status(service(grace), "active")).toBeVisible(MACHINE_TIME);
  await expect(service(grace).getByTestId(testid.COCKPIT)).toBeVisible();
  await expect(service(alan)).toContainText("Number 1 in line.");
  for (const visitor of [grace, alan]) {
    expect(await visitor.page.evaluate(() => (window as { kept?: string }).kept), "without a reload").toBe("yes");
  }

  const active = (await hangar.api("GET", "/api/v1/allocations?status=active")).items;
  expect(active).toHaveLength(1);
  expect(active[0].pool_vm_id, "the machine of ada was replaced before grace got it").not.toBe(used);
});

test("what did not reach Hangar is asked for again by itself", async ({ visit }) => {
  const administrator = await visit();
  const { page } = administrator;
  await signInAsAdministrator(page);
  await isLive(page);
  await page.route(/\/rpc\/nodes\/list/, (route) => route.abort("connectionreset"), { times: 1 });
  await page.getByRole("link", { name: "Nodes", exact: true }).click();
  await expect(page.getByTestId(testid.FAULT)).toContainText("No connection to Hangar");
  await expect(page.getByTestId(testid.EMPTY)).toBeVisible();
  await expect(page.getByTestId(testid.FAULT)).toHaveCount(0);
  administrator.isQuiet(/rpc\/nodes\/list/);
});
