// The acquire form: what can be had and what it costs is the vendor's word; the rest says why not. Where
// there is no capacity after all, the fallback is taken and the timeline tells.
import type { Hangar } from "../support/hangar.ts";
import { connectAccount, isLive, isReady, signInAsAdministrator } from "../support/deeds.ts";
import { routes, testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

type Catalog = { server_types: { name: string; locations: { location: string; price_monthly: string }[] }[] };

/** The types that the simulated vendor has now, with the places where each can be had. */
async function offers(hangar: Hangar): Promise<{ name: string; places: string[] }[]> {
  type Place = { name: string; available: boolean; deprecation: unknown };
  const { server_types } = await hangar.vendor("/server_types?per_page=50");
  return server_types.map(({ name, locations }: { name: string; locations: Place[] }) => ({
    name,
    places: locations.filter(({ available, deprecation }) => available && !deprecation).map((place) => place.name),
  }));
}

test("prices are those of the pair, and what cannot be had says why", async ({ hangar, visit }) => {
  test.setTimeout(120_000);
  const administrator = await visit();
  const { page } = administrator;
  // Sold out at one place before anybody looks: what is known of the vendor is kept for a while.
  const several = (await offers(hangar)).find(({ places }) => places.length > 2)!;
  const [first, second, gone] = several.places;
  await hangar.behind("POST", "/catalogue", { server_type: several.name, location: gone, available: false });
  await signInAsAdministrator(page);
  await connectAccount(page);
  const { id } = (await hangar.api("GET", "/api/v1/providers")).items[0];
  const catalog = await hangar.api<Catalog>("GET", `/api/v1/providers/${id}/catalog`);
  const pair = catalog.server_types.find(({ name }) => name === several.name)!;
  const cents = Number(pair.locations.find(({ location }) => location === second)!.price_monthly).toFixed(2);

  await page.goto(routes.ACQUIRE);
  const form = page.getByTestId(testid.ACQUIRE);
  const price = form.getByTestId(testid.PRICE);
  const location = form.getByLabel("Location");
  await test.step("the price follows type and location", async () => {
    await expect(form.getByTestId(testid.CATALOG_AGE)).toContainText("Prices and capacity as the vendor gave them");
    await form.getByLabel("Type").selectOption(several.name);
    await location.selectOption(second);
    await expect(price).toContainText(`for ${several.name} at ${second}.`);
    await expect(price).toContainText(`${cents} EUR per month`);
    await expect(price).toContainText("per hour");
  });

  await test.step("a ceiling below every price leaves nothing, and says so", async () => {
    await form.locator("summary").click();
    await form.getByLabel("At most per month").fill("0.01");
    await expect(price).toHaveText("Nothing can be had at this price at the moment.");
    const types = form.getByLabel("Type").locator("option");
    await expect(types.filter({ hasText: "above the ceiling" }).first()).toBeDisabled();
    await form.getByLabel("At most per month").fill("");
    await expect(price).toContainText(`for ${several.name} at`);
  });

  await test.step("an image of another architecture cannot be chosen", async () => {
    const images = form.getByLabel("Image").locator("option");
    for (const image of await images.filter({ hasText: "not for" }).all()) await expect(image).toBeDisabled();
    await expect(images.filter({ hasText: "debian-" }).first()).toBeEnabled();
  });

  await test.step("a pair that is sold out is there, disabled, with the reason", async () => {
    const option = location.locator(`option[value="${gone}"]`);
    await expect(option).toContainText("sold out here");
    await expect(option).toBeDisabled();
    await expect(location.locator(`option[value="${first}"]`)).toBeEnabled();
    await page.locator(".prices > summary").click();
    const row = page.getByTestId(testid.PRICES).locator(`[data-id="${several.name}/${gone}"]`);
    await expect(row).toContainText("sold out here");
  });

  await test.step("a wrong label marks its field, folded away or not", async () => {
    await form.getByLabel("Name", { exact: true }).fill("alpha");
    await form.getByLabel("Labels").fill("no equals sign");
    await form.getByRole("button", { name: "Acquire node" }).click();
    await expect(form).toContainText("write key=value, one a line");
    await expect(form.getByLabel("Labels")).toBeVisible();
    expect((await hangar.api("GET", "/api/v1/nodes")).items).toEqual([]);
  });
  administrator.isQuiet(/nodes\/acquire/);
});

test("without capacity the fallback is taken, and the timeline tells", async ({ hangar, visit }) => {
  test.setTimeout(180_000);
  const { page } = await visit();
  await signInAsAdministrator(page);
  await connectAccount(page);
  await page.goto(routes.ACQUIRE);
  const form = page.getByTestId(testid.ACQUIRE);
  const price = form.getByTestId(testid.PRICE);
  await isLive(page);
  const [, place] = / at (\S+)\.$/.exec((await price.textContent())!)!;
  const fallback = form.getByLabel("If there is no capacity, take");
  const pairs = await fallback.locator("option:not([disabled])").evaluateAll((all) =>
    all.map((one) => (one as HTMLOptionElement).value),
  );
  // Another place; and no other architecture, so that the image fits.
  const pair = pairs.find((one) => one && !one.endsWith(`/${place}`) && !one.startsWith("cax"))!;
  const [, other] = pair.split("/");
  // The page still says that it can be had: what the vendor's indication is worth.
  await hangar.behind("POST", "/faults", {
    on: "server_create",
    effect: { kind: "status", status: 412, code: "resource_unavailable", message: "no capacity" },
  });
  await form.getByLabel("Name", { exact: true }).fill("alpha");
  await form.locator("summary").click();
  await fallback.selectOption(pair);
  await form.getByLabel("Labels").fill("team=platform");
  await form.getByRole("button", { name: "Acquire node" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "alpha" })).toBeVisible();
  await isReady(page);
  await expect(page.getByTestId(testid.TIMELINE)).toContainText(other);
  const facts = page.locator(".fact");
  await expect(facts.filter({ hasText: "Location" })).toContainText(other);
  await expect(facts.filter({ hasText: "Price" })).toContainText("per month");
  await expect(facts.filter({ hasText: "Price" })).toContainText("per hour");
  const { servers } = await hangar.behind("GET", "/state");
  expect(servers).toHaveLength(1);
  expect(servers[0].labels.team).toBe("platform");
});
