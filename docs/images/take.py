"""Takes the pictures of README.md from a demo that is being served: `.venv/bin/python docs/images/take.py`.

It wants Chromium. Give the address of the dashboard if it is not http://127.0.0.1:8000, and the names of pictures if
not all are wanted.
"""

import argparse
import os
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
VAR = Path(os.environ.get("RELEASEMGR_VAR") or HERE.parents[1] / "var")
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
PICTURES = {
    "overview": "/",
    "sites": "/sites/",
    "site": "/sites/cascadia-training/",
    "promotion": "/builds/4.20.2/promote/stable/",
    "tonight": "/runs/tonight/",
    "run": "/runs/29/",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="http://127.0.0.1:8000")
    parser.add_argument("pictures", nargs="*", choices=[*PICTURES, []])
    wanted = parser.parse_args()
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light")
        sign_in(page, wanted.address)
        for name in wanted.pictures or PICTURES:
            page.goto(wanted.address + PICTURES[name], wait_until="networkidle")
            page.screenshot(path=HERE / f"{name}.png")
        browser.close()


def sign_in(page: Page, address: str) -> None:
    page.goto(address + "/sign-in/?next=/account/")
    page.fill("input[name=username]", "manager")
    page.fill("input[name=password]", (VAR / "demo" / "password").read_text().strip())
    page.press("input[name=password]", "Enter")
    page.wait_for_load_state("networkidle")


if __name__ == "__main__":
    main()
