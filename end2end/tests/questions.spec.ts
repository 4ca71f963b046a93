// A question that is open keeps its subject, whatever changes around it meanwhile.
import { isLive, rows, signInAsAdministrator, signInByForge, status } from "../support/deeds.ts";
import { routes, testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

test("a row that comes above leaves the open question to the row it was asked for", async ({ hangar, visit }) => {
  const [administrator, ada, grace] = [await visit(), await visit(), await visit()];
  await signInAsAdministrator(administrator.page);
  await signInByForge(ada.page, "ada");
  await administrator.page.goto(routes.USERS);
  await isLive(administrator.page);
  const row = (login: string) => rows(administrator.page, testid.USERS).filter({ hasText: login });
  await row("ada").getByRole("button", { name: "Suspend" }).first().click();
  const question = administrator.page.getByRole("dialog");
  await expect(question).toContainText("Suspend Ada Lovelace?");

  await signInByForge(grace.page, "grace");
  await expect(row("grace")).toHaveCount(1);
  await expect(question).toContainText("Suspend Ada Lovelace?");
  await question.getByRole("button", { name: "Suspend" }).click();
  await expect(status(row("ada"), "suspended")).toBeVisible();
  await expect(status(row("grace"), "active")).toBeVisible();
  const people = (await hangar.api("GET", "/api/v1/users")).items as { forge_login: string; status: string }[];
  expect(people.find((one) => one.forge_login === "grace")?.status).toBe("active");
});
