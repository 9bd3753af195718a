//! `weir run` and `weir apply` as a person uses them: files sent to the running machine, not kept, taken back and kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::Folder;
use qemu::child::Child;
use qemu::namespace::Namespace;
use qemu::step;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};

struct Here {
    network: Namespace,
    folder: Folder,
    tool: PathBuf,
}

impl Here {
    fn run(&self) -> Child {
        let (tool, state) = (self.tool.to_str().unwrap().to_owned(), self.folder.file("run"));
        let images = qemu::images();
        let words = ["run", "--image", images.to_str().unwrap(), "--state", &state];
        let mut machine = self.network.spawn(&tool, &words);
        machine.wait_for("weir: ready in ");
        machine
    }

    /// The console, as another program beside the terminal.
    fn console(&self) -> UnixStream {
        UnixStream::connect(self.folder.0.join("run/console.sock")).unwrap()
    }

    fn tell(&self, words: &[&str]) -> Output {
        let state = self.folder.file("run");
        Command::new(&self.tool).args(words).args(["--state", &state]).output().unwrap()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let folder = self.folder.0.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("firewall.json"), text).unwrap();
        folder.to_str().unwrap().to_owned()
    }
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const RULES: &str = r#"{"rules":[{"name":"no-telnet","action":"refuse","port":"23"}]}"#;

#[test]
fn files_are_sent_to_the_running_machine_and_kept_or_not() {
    let tool = qemu::images().join("bin/weir");
    let here = Here { network: Namespace::new(), folder: Folder::new(), tool };
    let (good, wrong) = (here.write("good", RULES), here.write("wrong", &RULES.replace("refuse", "deny")));

    step("nobody is there; another host cannot be reached yet");
    let said = here.tell(&["apply", "qemu", &good]);
    assert!(!said.status.success() && words(&said).contains("make run"), "{}", words(&said));
    let said = here.tell(&["apply", "router7", &good]);
    assert!(!said.status.success() && words(&said).contains("\"router7\""), "{}", words(&said));

    step("a wrong file is not sent");
    let mut machine = here.run();
    let said = here.tell(&["apply", "qemu", &wrong, "--confirm", "60"]);
    assert!(!said.status.success() && words(&said).contains("firewall.json:1:"), "{}", words(&said));

    step("on trial, and taken back");
    let said = here.tell(&["apply", "qemu", &good, "--confirm", "600"]);
    assert!(said.status.success() && words(&said).contains("in force for 600 s"), "{}", words(&said));
    let said = here.tell(&["apply", "qemu", &good, "--confirm", "600"]);
    assert!(!said.status.success(), "one trial at a time: {}", words(&said));
    let said = here.tell(&["revert", "qemu"]);
    assert!(said.status.success() && words(&said).contains("taken back"), "{}", words(&said));
    let said = here.tell(&["keep", "qemu"]);
    assert!(!said.status.success(), "there is nothing to keep: {}", words(&said));

    step("on trial, and not kept: it ends by itself");
    assert!(here.tell(&["apply", "qemu", &good, "--confirm", "5"]).status.success());
    let mut console = here.console();
    console.write_all(b"\rlog configd -f\r").unwrap();
    machine.wait_for("trial of firewall.json for 5 s");
    machine.wait_for("trial of firewall.json ended: nobody has kept it");
    console.write_all(b"\x03\r").unwrap();
    drop(console);
    let said = here.tell(&["keep", "qemu"]);
    assert!(!said.status.success(), "there is nothing to keep: {}", words(&said));

    step("on trial, and kept: it is there after a power-off");
    let said = here.tell(&["apply", "qemu", &good, "--confirm", "60"]);
    assert!(said.status.success(), "{}", words(&said));
    let said = here.tell(&["keep", "qemu"]);
    assert!(said.status.success() && words(&said).contains("kept"), "{}", words(&said));
    here.console().write_all(b"\rpoweroff\r").unwrap();
    machine.wait_for("the machine is off");
    assert!(machine.wait().success());
    let mut machine = here.run();
    here.console().write_all(b"\rlog netconfigd -f\r").unwrap();
    machine.wait_for("ruleset replaced; rules: 1");
}
