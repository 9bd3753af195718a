//! The page's forms in a real browser, over TLS, before the real services: what a machine is not wanted for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, Root, Services};
use qemu::browser::Browser;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;

const HOME: &str = "https://192.168.42.1/";

fn start(router: &Namespace, root: &Root, name: &str) -> Child {
    let mut child = router.service(name, root, &[]);
    child.wait_for("ready");
    child
}

/// The trial that stands, kept or taken back by its button.
fn settle(browser: &Browser<'_>, button: &str) {
    browser.wait("!!document.querySelector('#keep')");
    browser.click(button);
    browser.wait("!document.querySelector('#keep')");
}

#[test]
fn every_form_does_what_it_says() {
    let (router, lan, root) = (Namespace::new(), Namespace::new(), Root::new());
    router.veth("lan0", &lan, "eth0");
    router.ip("link set lo up");
    lan.ip("link set lo up");
    lan.ip("addr add 192.168.42.7/24 dev eth0");
    router.ip("addr add 192.168.42.1/24 dev lan0");
    router.ip("link add uplink0 type veth peer name isp0");
    root.write(
        "/perm/interfaces.json",
        r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24"}]}"#,
    );
    // PID 1, as far as a page needs one: a list of services, and a yes to everything, which is told.
    let init = UnixListener::bind(root.path("/run/init.sock")).unwrap();
    let (told, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in init.incoming() {
            let (mut line, stream) = (String::new(), stream.unwrap());
            let _ = BufReader::new(&stream).read_line(&mut line);
            let service = json!({"name": "dnsd", "state": "running", "ready": true, "pid": 7, "uptime_ms": 9_000,
                "restarts": 0, "last_exit": "", "memory_kib": 900});
            let list = json!({"version": "1", "uptime_ms": 90_000, "ready_ms": 700, "perm": "ext4", "slot": "a",
                "services": [service]});
            // What is only asked is not told.
            let said = match &line {
                line if line.contains("\"list\"") => Some(list),
                line if line.contains("\"disks\"") => Some(json!({"disks": []})),
                _ => None,
            };
            let only_asked = said.is_some();
            let said = said.unwrap_or_else(|| json!({"ok": true}));
            let _ = (&stream).write_all(format!("{said}\n").as_bytes());
            if !only_asked && told.send(line).is_err() {
                return;
            }
        }
    });
    let _services = ["netconfigd", "configd", "webd", "backupd"].map(|name| start(&router, &root, name));
    let mut socket = UnixStream::connect(root.path("/run/webd.sock")).unwrap();
    socket.write_all(b"{\"op\":\"set\",\"password\":\"correct horse\"}\n").unwrap();
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer).unwrap();
    assert!(answer.contains("ok"), "{answer}");

    let browser = Browser::open(&lan, &root.path("/tmp"));
    browser.go(HOME);
    browser.fill("#password", "correct horse");
    browser.press("Log in");
    browser.wait("!!document.querySelector('#facts')");
    assert_eq!(browser.run("return location.protocol"), "https:");
    assert_eq!(browser.run("return document.cookie"), "", "no script sees the cookie");

    // A rule: made, kept, taken away again, and that taken back.
    browser.run("location.hash = '#access'");
    browser.click("#add-rule");
    browser.fill("[name=name]", "no-lab");
    browser.fill("[name=remote]", "203.0.113.0/24");
    browser.press("Try it");
    settle(&browser, "#keep");
    browser.click("[aria-label='Remove no-lab']");
    browser.press("Remove");
    browser.wait("!!document.querySelector('#keep')");
    browser.wait("!document.querySelector('#access').innerText.includes('no-lab')");
    settle(&browser, "#revert");
    browser.wait("document.querySelector('#access').innerText.includes('no-lab')");
    assert!(std::fs::read_to_string(root.path("/perm/firewall.json")).unwrap().contains("203.0.113.0/24"));

    // A backup: refused with another password, in its words; then on trial.
    let folder = root.path("/tmp/backup");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("firewall.json"), "{\"rules\":[]}").unwrap();
    let backup = root.path("/tmp/backup.tar.gz");
    lan.output("tar", &["czf", backup.to_str().unwrap(), "-C", folder.to_str().unwrap(), "."]);
    browser.run("location.hash = '#system'");
    browser.click("#restore");
    browser.choose("[name=backup]", &backup);
    browser.fill("dialog [type=password]", "wrong horse");
    browser.press("Try it");
    browser.wait("(document.querySelector('dialog .wrong') || {innerText: ''}).innerText.includes('it is wrong')");
    while browser.run("return !document.querySelector('#keep')") == true {
        // Who was wrong waits a second.
        browser.fill("dialog [type=password]", "correct horse");
        browser.press("Try it");
        browser.wait(
            "!!document.querySelector('#keep') || document.querySelector('dialog .wrong').innerText.includes('wait')",
        );
    }
    settle(&browser, "#keep");
    assert!(!std::fs::read_to_string(root.path("/perm/firewall.json")).unwrap().contains("no-lab"));

    // The backup, in the browser's own box for passwords.
    let folder = root.path("/tmp/downloads");
    browser.keeps(&folder);
    browser.says("Basic Z29rcmF6eTpjb3JyZWN0IGhvcnNl");
    browser.press("Backup");
    browser.kept(&folder.join("backup.tar.gz"));
    let backup = folder.join("backup.tar.gz");
    assert!(lan.output("tar", &["tzf", backup.to_str().unwrap()]).contains("webd/password"));
    browser.says("");

    // Another password: this browser stays in, and the next log-in wants the new one.
    browser.press("Change the password");
    browser.fill("dialog [autocomplete=current-password]", "correct horse");
    browser.fill("dialog [autocomplete=new-password]", "battery staple");
    browser.press("Change");
    browser.wait("!document.querySelector('dialog')");
    browser.press("Log out");
    browser.wait("!!document.querySelector('#password')");
    browser.fill("#password", "battery staple");
    browser.press("Log in");
    browser.wait("!!document.querySelector('#facts')");

    // The services: both buttons reach PID 1; nothing is stopped without a question.
    let next = || asked.recv_timeout(common::PATIENCE).unwrap();
    browser.run("location.hash = '#services'");
    browser.click("[aria-label='Restart dnsd']");
    assert!(next().contains("restart"));
    browser.click("[aria-label='Stop dnsd']");
    browser.wait_for("Stop dnsd?");
    browser.press("Stop");
    assert!(next().contains("stop"));

    // An update: the page says what a file is before it is sent, and that another is none. updated does not run here.
    browser.run("location.hash = '#system'");
    browser.click("#update");
    let update = root.path("/tmp/a.update");
    std::fs::write(&update, "weir update 1\n{\"version\":\"9.1\",\"made\":2000000000}\nrest\n").unwrap();
    browser.choose("[name=update]", &update);
    browser.wait("document.querySelector('dialog').innerText.includes('Version 9.1, made ')");
    browser.press("Send and start it");
    browser.wait("document.querySelector('dialog .wrong').innerText.includes('updated does not answer')");
    browser.press("Cancel");

    // Off: asked first, and said.
    browser.press("Switch off");
    browser.wait_for("Switch the router off?");
    browser.run("[...document.querySelectorAll('dialog button')].find(one => one.innerText === 'Switch off').click()");
    assert!(next().contains("poweroff"));
    browser.wait_for("is switching itself off");
}
