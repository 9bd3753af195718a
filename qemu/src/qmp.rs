//! QEMU's control socket, as far as a test has a use for it: the plug of a NIC.
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Pulls the cable of a NIC (`net0` is the uplink's) out of the machine, or puts it back; the machine's driver sees it.
pub fn set_cable(socket: &Path, nic: &str, there: bool) {
    let stream = UnixStream::connect(socket).expect("QEMU's control socket");
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut ask = |request: serde_json::Value| {
        writeln!(&stream, "{request}").unwrap();
        let answer = lines.by_ref().map(Result::unwrap).find(|line| line.contains("return") || line.contains("error"));
        assert!(answer.as_deref().is_some_and(|line| line.contains("return")), "{request}: {answer:?}");
    };
    ask(serde_json::json!({"execute": "qmp_capabilities"}));
    ask(serde_json::json!({"execute": "set_link", "arguments": {"name": nic, "up": there}}));
}
