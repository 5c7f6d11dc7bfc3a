"""From nothing to a function that runs: create, edit, deploy, test, delete."""

import io
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect
from support.console_pages import code_of, deploy, write
from support.functions import ECHO, PYTHON, MakeFunction, await_active
from support.packages import zipped

FAILING = """\
def handler(event, context):
    print("about to fail")
    return helper(event)


def helper(event):
    raise ValueError(f"no use for {event}")
"""


def deployed_files(client: Any, name: str) -> Mapping[str, str]:
    await_active(client, name)
    url = client.get_function(FunctionName=name)["Code"]["Location"]
    with urllib.request.urlopen(url) as response:
        archive = zipfile.ZipFile(io.BytesIO(response.read()))
    return {entry: archive.read(entry).decode() for entry in archive.namelist()}


def test_from_a_blueprint_to_a_log(page: Page, lambda_client: Any) -> None:
    page.goto("/console")
    page.get_by_role("link", name="Create function").first.click()
    page.get_by_label("Name", exact=True).fill("first-steps")
    page.get_by_label("Runtime").select_option(PYTHON)
    page.get_by_role("button", name="Create function").click()

    expect(page).to_have_url("/console/functions/first-steps/code")
    expect(page.locator("#messages")).to_contain_text("first-steps is created.")
    expect(page.get_by_text("Active", exact=True)).to_be_visible()
    expect(page.locator("#editor")).to_contain_text("def handler(event, context)")
    write(page, code_of(page).replace("Hello", "Welcome"))
    expect(page.locator("#unsaved")).to_be_visible()
    deploy(page)
    expect(page.locator("#unsaved")).to_be_hidden()

    page.get_by_role("link", name="Test", exact=True).click()
    page.get_by_role("button", name="Invoke").click()
    result = page.locator("#result")
    expect(result).to_contain_text("Succeeded")
    expect(result).to_contain_text('"greeting": "Welcome, Ada!"')
    expect(result).to_contain_text("greeting Ada")
    expect(result.locator(".figures")).to_contain_text("of 128 MB")
    expect(result.locator(".figures rect.init")).to_have_count(1)

    page.goto("/console/functions")
    row = page.get_by_role("row").filter(has_text="first-steps")
    expect(row.get_by_role("img")).to_have_attribute(
        "aria-label", "1 invocations, 0 errors in 24 hours"
    )
    expect(row).to_contain_text("< $0.0001")
    lambda_client.delete_function(FunctionName="first-steps")


def test_an_error_leads_to_its_line(page: Page, function: MakeFunction) -> None:
    name = function({"app.py": FAILING})
    page.goto(f"/console/functions/{name}/test")
    page.locator("#event-editor .cm-content").wait_for()
    page.keyboard.press("ControlOrMeta+Enter")
    result = page.locator("#result")
    expect(result).to_contain_text("Failed")
    expect(result).to_contain_text("ValueError")
    expect(result).to_contain_text("about to fail")
    result.get_by_role("link").last.click()
    expect(page).to_have_url(f"/console/functions/{name}/code#file=app.py&line=7")
    expect(page.locator("#editor .cm-activeLine")).to_contain_text("raise ValueError")


def test_files_are_made_renamed_and_deleted(
    page: Page, function: MakeFunction, lambda_client: Any
) -> None:
    name = function({"app.py": ECHO, "lib/old.py": "X = 1\n", "notes.txt": "none\n"})
    page.goto(f"/console/functions/{name}/code")
    page.get_by_role("button", name="New file").click()
    page.get_by_label("Path").fill("app.py")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("There is a file app.py already.")
    page.get_by_label("Path").fill("lib/tools.py")
    page.keyboard.press("Enter")
    expect(page.locator("#file-name")).to_have_text("lib/tools.py")
    write(page, "Y = 2")

    files = page.get_by_role("navigation", name="Files")
    files.get_by_role("button", name="old.py").click()
    expect(page.locator("#editor")).to_contain_text("X = 1")
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Path").fill("lib/new.py")
    page.keyboard.press("Enter")
    expect(page.locator("#file-name")).to_have_text("lib/new.py")

    files.get_by_role("button", name="notes.txt").click()
    expect(page.locator("#file-name")).to_have_text("notes.txt")
    page.locator("#delete-file").click()
    expect(files.get_by_role("button", name="notes.txt")).to_have_count(0)
    deploy(page)
    assert deployed_files(lambda_client, name) == {
        "app.py": ECHO,
        "lib/new.py": "X = 1\n",
        "lib/tools.py": "Y = 2",
    }


def test_changes_wait_for_their_author_and_the_test_says_so(
    page: Page, function: MakeFunction
) -> None:
    name = function(ECHO)
    page.goto(f"/console/functions/{name}/code")
    expect(page.locator("#editor")).to_contain_text("return event")
    write(page, "# begun\n" + ECHO)
    page.get_by_role("link", name="Test", exact=True).click()
    expect(page.get_by_text("is not deployed yet")).to_be_visible()
    page.get_by_role("link", name="Code", exact=True).click()
    expect(page.locator("#editor")).to_contain_text("# begun")
    deploy(page)
    page.get_by_role("link", name="Test", exact=True).click()
    expect(page.get_by_role("button", name="Invoke")).to_be_visible()
    expect(page.get_by_text("is not deployed yet")).to_be_hidden()


def test_code_that_was_deployed_elsewhere_is_not_overwritten(
    page: Page, function: MakeFunction, lambda_client: Any
) -> None:
    name = function(ECHO)
    page.goto(f"/console/functions/{name}/code")
    expect(page.locator("#editor")).to_contain_text("return event")
    elsewhere = ECHO + "# elsewhere\n"
    lambda_client.update_function_code(FunctionName=name, ZipFile=zipped({"app.py": elsewhere}))
    write(page, "# here\n" + ECHO)
    page.keyboard.press("ControlOrMeta+s")
    expect(page.get_by_role("alert")).to_contain_text("has been changed elsewhere")
    expect(page.locator("#progress")).to_have_text("Not deployed")
    assert deployed_files(lambda_client, name) == {"app.py": elsewhere}


def test_a_zip_takes_the_place_of_all_files(
    page: Page, function: MakeFunction, tmp_path: Path
) -> None:
    name = function(ECHO)
    package, broken = tmp_path / "new.zip", tmp_path / "broken.zip"
    package.write_bytes(zipped({"app.py": "# uploaded\n" + ECHO, "more.py": ""}))
    broken.write_bytes(b"no zip")
    page.goto(f"/console/functions/{name}/code")
    page.get_by_text("Replace the code").click()
    page.get_by_role("button", name="Upload a zip").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Deployment package").set_input_files(broken)
    dialog.get_by_role("button", name="Deploy", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("Could not unzip uploaded file.")
    dialog.get_by_label("Deployment package").set_input_files(package)
    dialog.get_by_role("button", name="Deploy", exact=True).click()
    expect(page.locator("#editor")).to_contain_text("# uploaded")
    expect(page.locator("#messages")).to_contain_text("The new code is deployed.")
    with page.expect_download() as download:
        page.get_by_label("More actions").click()
        page.get_by_role("link", name="Download the code").click()
    assert download.value.path().read_bytes() == package.read_bytes()


def test_a_missing_bucket_is_told_in_the_dialog(page: Page, function: MakeFunction) -> None:
    name = function(ECHO)
    page.goto(f"/console/functions/{name}/code")
    page.get_by_text("Replace the code").click()
    page.get_by_role("button", name="Take it from S3").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Bucket").fill("no-such-bucket")
    dialog.get_by_label("Key").fill("function.zip")
    dialog.get_by_role("button", name="Deploy", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("S3 Error Code: NoSuchBucket")


def test_a_package_too_large_to_edit_says_so(page: Page, function: MakeFunction) -> None:
    name = function({"app.py": ECHO, **{f"data/{at}.txt": "" for at in range(1_001)}})
    page.goto(f"/console/functions/{name}/code")
    expect(page.get_by_text("Too large to edit here")).to_be_visible()
    expect(page.get_by_text("The package has 1002 files")).to_be_visible()


def test_layers_are_added_ordered_and_removed(
    page: Page, function: MakeFunction, lambda_client: Any
) -> None:
    name = function(ECHO)
    arns = [
        lambda_client.publish_layer_version(
            LayerName=layer, Content={"ZipFile": zipped({f"{layer}.txt": "x"})}
        )["LayerVersionArn"]
        for layer in ("one", "two")
    ]
    for arn in arns:
        page.goto(f"/console/functions/{name}/code")
        page.get_by_label("Add a layer version").fill(arn)
        page.get_by_role("button", name="Apply").click()
        expect(page.locator("#messages")).to_contain_text("The layers are changed.")
        expect(page.get_by_text("Active", exact=True)).to_be_visible()
    page.get_by_role("button", name=f"Move {arns[1]} up").click()
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#layer-list li").first).to_contain_text(arns[1])
    await_active(lambda_client, name)
    layers = lambda_client.get_function_configuration(FunctionName=name)["Layers"]
    assert [layer["Arn"] for layer in layers] == arns[::-1]


def test_a_deletion_is_confirmed_by_the_name(page: Page, function: MakeFunction) -> None:
    name = function(ECHO)
    page.goto(f"/console/functions/{name}/code")
    page.get_by_label("More actions").click()
    page.get_by_role("button", name="Delete the function").click()
    delete = page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True)
    expect(delete).to_be_disabled()
    page.get_by_label("Type the function's name").fill(name[:-1])
    expect(delete).to_be_disabled()
    page.get_by_label("Type the function's name").fill(name)
    delete.click()
    expect(page).to_have_url("/console/functions")
    expect(page.locator("#messages")).to_contain_text(f"{name} is deleted.")
    page.goto(f"/console/functions/{name}/code")
    expect(page.get_by_text("Not found")).to_be_visible()


def test_what_cannot_be_created_says_why_and_keeps_what_was_typed(
    page: Page, function: MakeFunction
) -> None:
    name = function(ECHO)
    page.goto("/console/create")
    page.get_by_text("Web endpoint").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Description").fill("another")
    page.get_by_label("Runtime").select_option(PYTHON)
    page.get_by_role("button", name="Create function").click()
    expect(page.get_by_role("alert")).to_have_text(f"Function already exist: {name}")
    expect(page.get_by_label("Description")).to_have_value("another")
    expect(page.locator("input[value=url]")).to_be_checked()
