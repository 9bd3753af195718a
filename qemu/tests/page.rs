//! A family's browser on the LAN: the page from the first visit to the reboot, in every width and light.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, NAME, PAGE, SERVER, WAN};
use qemu::browser::{Browser, Look};
use qemu::disk::Disk;
use qemu::lan::ROUTER;
use qemu::router::Router;
use qemu::step;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};
use weir::disk::System;
use weir::machine::Firmware;
use weir::update;

const PASSWORD: &str = "correct horse";
const SECTIONS: [&str; 6] = ["overview", "devices", "access", "names", "services", "system"];
/// Faults that who cannot see, or not well, would meet; a line each.
const FAULTS: &str = include_str!("page/faults.js");

/// axe-core, as published: what is wrong for them by the rules of WCAG. `make deps` fetches it.
static AXE: LazyLock<String> = LazyLock::new(|| {
    let home = || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map_or_else(home, PathBuf::from);
    let path = cache.join("weir/axe.min.js");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}: qemu/axe.sh fetches it", path.display()))
});

fn home() -> String {
    format!("http://{ROUTER}/")
}

/// Where the pictures are left.
fn pictures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/page")
}

fn picture(browser: &Browser<'_>, name: &str) {
    browser.picture(&pictures().join(format!("{name}.png")));
}

fn faultless(browser: &Browser<'_>, what: &str) {
    let faults = browser.run(FAULTS);
    assert_eq!(faults.as_array().map(Vec::len), Some(0), "{what}: {faults:#}");
    if browser.run("return !window.axe") == true {
        browser.run(&format!("{}; return true", *AXE));
    }
    browser.run("window.found = null; axe.run().then(all => { window.found = all.violations; })");
    let found = browser.wait(
        "window.found && window.found.map(one => [one.impact, one.id, one.nodes.map(node => node.html.slice(0, 200))])",
    );
    let serious: Vec<_> =
        found.as_array().unwrap().iter().filter(|one| one[0] == "serious" || one[0] == "critical").collect();
    assert!(serious.is_empty(), "{what}: {serious:#?}");
    for one in found.as_array().unwrap() {
        eprintln!("    axe, {what}: {one}");
    }
}

fn log_in(browser: &Browser<'_>, password: &str) {
    browser.fill("#password", password);
    browser.press("Log in");
}

/// As the buttons of a service do, without the question that they put first.
fn order(browser: &Browser<'_>, what: &str, name: &str) {
    browser.run(&format!(
        "fetch('/api/service/{what}', {{method: 'POST', headers: {{'X-Weir-Token': document.body.dataset.token}},
            body: '{{\"name\":\"{name}\"}}'}})"
    ));
}

/// The present system as an update, signed by a key that the router trusts.
fn update(key: &Path) -> Vec<u8> {
    let read = |name: &str| std::fs::read(qemu::images().join(name)).unwrap();
    let [kernel, initrd, root] = ["vmlinuz", "initrd.img", "root.squashfs"].map(read);
    let system = System { kernel: &kernel, initrd: &initrd, root: &root };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    update::sign(&update::Signer::open(key).unwrap(), &system, None, now).unwrap()
}

/// The answers are not from the wire that the page itself made.
fn reaches(bed: &Bed, port: u16) -> bool {
    let url = format!("http://{WAN}:{port}/page");
    let words = vec!["--silent".to_owned(), "--fail".into(), "--max-time".into(), "5".into(), url];
    bed.isp.run(move || {
        let output = std::process::Command::new("curl").args(words).output().unwrap();
        output.status.success() && String::from_utf8_lossy(&output.stdout) == PAGE
    })
}

#[test]
fn a_family_uses_the_page() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    let _page = bed.serve_page();
    let disk = Disk::copy(&bed.folder.0);
    let config = format!(
        r#"{{"names":["{NAME}"],"ping":["{SERVER}"],"portal":"http://{NAME}/page","portal_answer":"{}"}}"#,
        PAGE.trim()
    );
    disk.write("diagd/config.json", config.as_bytes());
    disk.write("captured/record", b"");
    disk.write("blocklists.json", br#"{"block":["ads.example"]}"#);
    disk.set_environment(&[("words", "no_timer_check")]);
    let key = bed.folder.0.join("key");
    update::make_key(&key).unwrap();
    disk.write("update-keys/mine.pub", &std::fs::read(update::public_of(&key)).unwrap());
    let mut router = Router::boot_with(&bed, &disk, |machine| machine.firmware(Firmware::Bios));
    router.wait_ready();
    router.command_until("status", |text| text.contains(WAN));
    let lease = bed.reach_the_internet("laptop");
    let (_client, _) = bed.lease("laptop");
    let address = lease.split_whitespace().nth(1).and_then(|text| text.split('/').next()).unwrap().to_owned();
    let folder = bed.folder.0.join("served");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("page"), PAGE).unwrap();
    let folder = folder.to_str().unwrap();
    let _server = bed.lan.spawn("busybox", &["httpd", "-f", "-p", &format!("{address}:8080"), "-h", folder]);

    step("the first visit: a password, the address left as it is, the internet looked at");
    let browser = Browser::open(&bed.lan, &bed.folder.0);
    browser.look(Look { phone: true, dark: false });
    browser.go(&home());
    browser.wait_for("Your router works already");
    let loaded = browser.run("const [one] = performance.getEntriesByType('navigation'); return one.transferSize");
    eprintln!("the first view: {loaded} bytes on the wire, in one answer");
    assert!(loaded.as_u64().unwrap() <= 60 << 10);
    assert_eq!(browser.run("return document.querySelectorAll('link[rel=stylesheet], script[src], img').length"), 0);
    faultless(&browser, "the first visit");
    picture(&browser, "first-visit-phone");
    browser.fill("[name=first]", "short");
    browser.fill("[name=first]", PASSWORD);
    browser.press("Set the password");
    browser.wait_for("Where it is at home");
    browser.press("Skip");
    browser.wait(
        "document.querySelector('#verdict') && document.querySelector('#verdict').innerText.includes('internet works')",
    );
    browser.click("#done");
    assert!(!browser.run("return document.body.innerText").as_str().unwrap().contains("Your router works already"));

    step("out, a wrong password, and in");
    browser.run("location.hash = '#system'");
    browser.press("Log out");
    browser.wait("!!document.querySelector('#password')");
    faultless(&browser, "log in");
    assert!(!browser.run("return document.documentElement.outerHTML").as_str().unwrap().contains(WAN));
    log_in(&browser, "wrong horse");
    browser.wait_for("not the router");
    faultless(&browser, "a wrong password");
    picture(&browser, "wrong-password");
    while browser.run("return !!document.querySelector('#password')") == true {
        // Who was wrong waits a second.
        log_in(&browser, PASSWORD);
        browser.wait("!document.querySelector('#password') || !!document.querySelector('#wrong')");
    }

    step("a plot with data");
    bed.download(&format!("http://{SERVER}/page"));
    browser.wait("(document.querySelector('#speed path.down:not(.area)') || {getAttribute: () => ''}).getAttribute('d').split('L').length > 10");
    browser.wait("(document.querySelector('#delay path.down') || {getAttribute: () => ''}).getAttribute('d').split('L').length > 5");
    let words = browser.run("return document.querySelector('#speed svg').getAttribute('aria-label')");
    assert!(words.as_str().unwrap().contains("the last 10 minutes: down "), "{words}");

    step("a name of one's own list is blocked");
    bed.dig_until(&["ads.example"], "0.0.0.0");

    step("every section in every width and light");
    for look in Look::all() {
        browser.look(look);
        for section in SECTIONS {
            browser.run(&format!("location.hash = '#{section}'"));
            browser.wait(&format!(
                "!document.querySelector('#{section}').hidden && !document.querySelector('#{section}').hasAttribute('aria-busy')"
            ));
            let wide =
                browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(wide, 0, "{section} is wider than the window, {}", look.name());
            faultless(&browser, &format!("{section}, {}", look.name()));
            picture(&browser, &format!("{section}-{}", look.name()));
        }
    }
    browser.look(Look { phone: false, dark: false });
    browser.run("location.hash = '#names'");
    browser.wait(
        "[...document.querySelectorAll('#names tr')].some(row => /^your own names\\s+[1-9]/.test(row.innerText))",
    );

    step("by the keyboard alone: the first stop leads past the sections");
    browser.go(&home());
    browser.wait("document.querySelectorAll('nav a').length === 6");
    browser.tab();
    assert_eq!(browser.run("return document.activeElement.className"), "skip");

    step("a device is given a name, which the whole house knows");
    browser.run("location.hash = '#devices'");
    browser.click("[aria-label='Edit laptop']");
    browser.wait("!!document.querySelector('dialog')");
    faultless(&browser, "a dialog");
    picture(&browser, "device-dialog");
    browser.fill("dialog input:not([type=checkbox])", "studio");
    browser.press("Save");
    browser.wait_for("studio");
    bed.dig_until(&["studio.lan"], &address);

    step("its address is reserved");
    browser.click("[aria-label='Edit studio']");
    browser.click("dialog [type=checkbox]");
    browser.press("Save");
    browser.click("#keep");
    browser.wait_for("always this one");

    step("the packets of the last minutes are taken home");
    let folder = bed.folder.0.join("downloads");
    browser.keeps(&folder);
    browser.run("location.hash = '#system'");
    browser.press("Packets of the last minutes");
    let capture = folder.join("capture.pcapng");
    browser.kept(&capture);
    let packets = bed.lan.output("tshark", &["-r", capture.to_str().unwrap(), "-Y", "dhcp"]);
    assert!(packets.contains("DHCP ACK"), "{packets}");

    step("a port is opened on trial, and kept");
    assert!(!reaches(&bed, 8080));
    let open = |name: &str, port: &str, inner: &str| {
        browser.run("location.hash = '#access'");
        browser.click("#open-port");
        browser.fill("[name=name]", name);
        browser.fill("[name=to]", &address);
        browser.fill("[name=port]", port);
        browser.fill("[name=inner]", inner);
        browser.press("Try it");
    };
    open("web", "8080x", "");
    // The browser itself refuses that; what only the router knows is said in its words.
    assert_eq!(browser.run("return document.querySelector('dialog [name=port]').checkValidity()"), false);
    browser.fill("[name=port]", "99999");
    browser.press("Try it");
    browser.wait("(document.querySelector('dialog .wrong') || {innerText: ''}).innerText.includes('99999')");
    faultless(&browser, "a refusal");
    browser.fill("[name=port]", "8080");
    browser.fill("[name=inner]", "8080");
    browser.press("Try it");
    browser.wait("!!document.querySelector('#keep')");
    faultless(&browser, "on trial");
    picture(&browser, "on-trial");
    while !reaches(&bed, 8080) {}
    browser.click("#keep");
    browser.wait("!document.querySelector('#keep')");
    assert!(reaches(&bed, 8080), "it was kept");

    step("another is not kept, and goes by itself");
    open("gone", "8081", "8080");
    browser.wait("!!document.querySelector('#keep')");
    while !reaches(&bed, 8081) {}
    browser.wait("!document.querySelector('#keep')");
    while reaches(&bed, 8081) {}
    assert!(reaches(&bed, 8080), "what was kept before stays");
    browser.wait("!document.querySelector('#access').innerText.includes('gone')");
    assert!(browser.run("return document.querySelector('#access').innerText").as_str().unwrap().contains("web"));

    step("a log is followed over a restart of its service");
    browser.run("location.hash = '#services'");
    browser.click("[aria-label='Log of diagd']");
    browser.wait("(document.querySelector('.log') || {innerText: ''}).innerText.includes('internet works')");
    faultless(&browser, "a log");
    order(&browser, "restart", "diagd");
    browser.wait("document.querySelector('.log').innerText.split('internet works').length > 2");
    picture(&browser, "log");
    browser.press("Close");
    browser.wait_for("Restart");

    step("a service that is down while the page shows it is said to be");
    order(&browser, "stop", "dnsd");
    browser.run("location.hash = '#names'");
    browser.wait_for("dnsd does not answer");
    order(&browser, "start", "dnsd");
    browser.wait("!document.querySelector('#names').innerText.includes('dnsd does not answer')");

    let status = router.command("status");
    eprintln!("{}", status.lines().find(|line| line.trim_start().starts_with("webd")).unwrap());

    step("the router gets another address: nobody keeps it, and the page at the old one comes back");
    let moves = |address: &str| {
        browser.run("location.hash = '#system'");
        browser.press("Address at home");
        browser.fill("[name=lan]", address);
        browser.press("Try it");
        browser.wait_for("The router is now at http://192.168.42.");
    };
    moves("192.168.42.2/24");
    let before = browser.run("return performance.timeOrigin");
    let there = "http://192.168.42.2";
    let who = format!("gokrazy:{PASSWORD}");
    let all = ["-sS", "--retry", "30", "--retry-all-errors", "--max-time", "5", "-u", &who];
    let session = bed.lan.output("curl", &[&all[..], &[&format!("{there}/api/session")]].concat());
    let session: serde_json::Value = serde_json::from_str(&session).unwrap();
    let word = format!("X-Weir-Token: {}", session["token"].as_str().unwrap());
    let revert = format!("{there}/api/config/revert");
    bed.lan.output("curl", &["-sS", "--max-time", "5", "-u", &who, "-H", &word, "-d", "{}", &revert]);
    browser.wait(&format!("performance.timeOrigin !== {before} && !!document.querySelector('#hero')"));

    step("without JavaScript the status is there");
    browser.tool("Emulation.setScriptExecutionDisabled", serde_json::json!({"value": true}));
    browser.go(&home());
    let text = bed.lan.output("curl", &["-sS", "-u", &format!("gokrazy:{PASSWORD}"), &home()]);
    picture(&browser, "no-script");
    for words in ["internet works", WAN, "studio", "dnsd"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    browser.tool("Emulation.setScriptExecutionDisabled", serde_json::json!({"value": false}));

    step("the router is restarted from the page, and the page comes back by itself");
    // From elsewhere: else only the mark behind the address would change, and the page without script would stay.
    browser.go("about:blank");
    browser.go(&format!("{}#system", home()));
    browser.click("#reboot");
    let before = browser.run("return performance.timeOrigin");
    browser.press("Restart");
    router.wait_ready();
    // Who was logged in still is.
    browser.wait(&format!("performance.timeOrigin !== {before} && !!document.querySelector('#hero')"));

    step("an update, to its end");
    let file = bed.folder.0.join("next.update");
    std::fs::write(&file, update(&key)).unwrap();
    browser.run("location.hash = '#system'");
    browser.click("#update");
    browser.choose("[name=update]", &file);
    browser.wait("document.querySelector('dialog').innerText.includes(', made ')");
    picture(&browser, "update");
    browser.press("Send and start it");
    router.wait_ready();
    browser.wait("(document.querySelector('#updated') || {innerText: ''}).innerText.includes('The update runs')");
    faultless(&browser, "after an update");
    picture(&browser, "updated");
    assert!(router.command("status").contains("slot b"));

    step("the router gets another address, which is kept there");
    moves("192.168.42.2/24");
    browser.go(&format!("{there}/"));
    log_in(&browser, PASSWORD);
    browser.click("#keep");
    browser.wait("!document.querySelector('#keep') && !!document.querySelector('#hero')");
    router.command_until("status", |text| text.contains("192.168.42.2/24"));
}
