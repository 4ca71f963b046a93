// The settings: a pause that says why, a spending cap, and profiles that are stored in versions.
import {
  acquireNode,
  connectAccount,
  isLive,
  isReady,
  rows,
  signInAsAdministrator,
} from "../support/deeds.ts";
import { routes, testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

test("a pause and a cap keep anything from being acquired, and say why", async ({ hangar, visit }) => {
  test.setTimeout(120_000);
  const administrator = await visit();
  const { page } = administrator;
  await signInAsAdministrator(page);
  await connectAccount(page);
  await page.goto(routes.HOME);
  await expect(page.getByTestId(testid.HOLD)).toHaveCount(0);
  await page.getByRole("link", { name: "Settings" }).click();
  const rules = page.getByTestId(testid.ACQUISITION);
  const save = rules.getByRole("button", { name: "Save settings" });
  const hold = rules.getByTestId(testid.HOLD);
  await expect(hold).toHaveAttribute("data-hold", "false");

  await test.step("a cap without a currency is marked at its field", async () => {
    await rules.getByLabel("Spending cap per month").fill("much");
    await rules.getByLabel("Currency of the cap").fill("");
    await save.click();
    await expect(rules.locator(".field-wrong")).toHaveCount(2);
    await expect(rules.getByLabel("Spending cap per month")).toHaveValue("much");
  });

  await test.step("a pause with its reason, on every page that would acquire", async () => {
    await rules.getByLabel("Spending cap per month").fill("");
    await rules.getByLabel("Pause all acquisition").check();
    await rules.getByLabel("Reason").fill("the budget is being settled");
    await save.click();
    await expect(rules.getByTestId(testid.OUTCOME)).toContainText("stored");
    await expect(hold).toContainText("the budget is being settled");
    await expect(rules).toContainText("Changed");
    await page.goto(routes.HOME);
    await expect(page.getByTestId(testid.HOLD)).toContainText("the budget is being settled");
    await page.goto(routes.ACQUIRE);
    await expect(page.getByTestId(testid.HOLD)).toContainText("the budget is being settled");
    await expect(page.getByRole("button", { name: "Acquire node" })).toBeDisabled();
    const provider = (await hangar.api("GET", "/api/v1/providers")).items[0].id;
    await expect(
      hangar.api("POST", "/api/v1/nodes", { provider_id: provider, name: "alpha" }),
      "the API refuses it too",
    ).rejects.toThrow(/: 409 /);
    await page.getByTestId(testid.HOLD).getByRole("link").click();
    await expect(hold).toHaveAttribute("data-hold", "true");
  });

  await test.step("let go on, with a cap that nothing fits below", async () => {
    await isLive(page);
    await rules.getByLabel("Pause all acquisition").uncheck();
    await rules.getByLabel("Spending cap per month").fill("0.01");
    await rules.getByLabel("Currency of the cap").fill("eur");
    await save.click();
    await expect(hold).not.toContainText("the budget is being settled");
    await page.goto(routes.ACQUIRE);
    const form = page.getByTestId(testid.ACQUIRE);
    await form.getByLabel("Name", { exact: true }).fill("alpha");
    await form.getByRole("button", { name: "Acquire node" }).click();
    await expect(page.getByText(/spending cap/).first()).toBeVisible();
    expect((await hangar.api("GET", "/api/v1/nodes")).items).toEqual([]);
  });
  administrator.isQuiet(/settings\/acquisition_set|nodes\/acquire/);
});

test("a profile is edited, kept in versions, and used", async ({ hangar, visit }) => {
  test.setTimeout(180_000);
  const administrator = await visit();
  const { page } = administrator;
  await signInAsAdministrator(page);
  await connectAccount(page);
  await page.goto(routes.PROFILES);
  const form = page.getByTestId(testid.PROFILE_FORM);
  await test.step("two are shipped; a new one is made, with a wrong row marked where it is", async () => {
    await expect(rows(page, testid.PROFILES)).toHaveCount(2);
    await isLive(page);
    await form.getByLabel("Name", { exact: true }).fill("web");
    await form.getByLabel("Command 2").fill("no good");
    await form.getByRole("button", { name: "Create profile" }).click();
    await expect(form.locator(".requirement").nth(1).locator(".field-wrong")).toHaveCount(1);
    await form.getByLabel("Command 2").fill("tar");
    await form.getByRole("button", { name: "Add a row" }).click();
    await form.getByLabel("Script").fill("echo made by web\n");
    await form.getByRole("button", { name: "Create profile" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "Profile web" })).toBeVisible();
    await expect(rows(page, testid.PROFILE_VERSIONS)).toHaveCount(1);
  });

  await test.step("what is saved is a new version; the old one can be looked at", async () => {
    await form.getByLabel("Script").fill("echo made by web, again\n");
    await form.getByRole("button", { name: "Save as a new version" }).click();
    await expect(rows(page, testid.PROFILE_VERSIONS)).toHaveCount(2);
    await page.getByRole("link", { name: "version 1" }).click();
    await expect(page.getByText("This is an older one: version 1")).toBeVisible();
    await expect(form.getByLabel("Script")).toHaveValue("echo made by web\n");
    await page.getByRole("link", { name: "Show version 2" }).click();
    await expect(form.getByLabel("Script")).toHaveValue("echo made by web, again\n");
  });

  if (hangar.sshIsOn) {
    await test.step("a node is acquired with it, and says which version ran", async () => {
      await acquireNode(page, "alpha", { Profile: "web" });
      await isReady(page);
      const fact = page.locator(".fact").filter({ hasText: "Profile" });
      await expect(fact).toContainText("web version 2");
      await expect(page.getByTestId(testid.OUTPUT).first()).toContainText("made by web, again");
      await fact.getByRole("link", { name: "web" }).click();
      await expect(page.getByText("1 live node has it.")).toBeVisible();
    });
  }
  administrator.isQuiet(/profiles\/save/);
});
