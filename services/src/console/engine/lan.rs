//! `lan ADDRESS/LEN`: the interfaces.json that says so, with all else as it is.
use crate::perm::json::{self, Refusal};
use ipnet::{IpNet, Ipv4Net};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::path::Path;

/// How long it is on trial: time enough for the person's own machine to ask for another address.
pub const CONFIRM: u64 = 60;
/// What is changed.
const LAN: &str = "lan0";

/// Understands `10.0.0.1/24`.
///
/// # Errors
/// What is wrong with it, in a line.
pub fn parse(text: &str) -> Result<Ipv4Net, String> {
    let wrong = || format!("lan: {text:?} is no address with a length, such as 192.168.42.1/24");
    let net: Ipv4Net = text.parse().map_err(|_| wrong())?;
    let (address, few) = (net.addr(), net.prefix_len() > 30);
    if !(8..=30).contains(&net.prefix_len()) {
        let why = if few { "no machine would have an address" } else { "that is half the world" };
        return Err(format!("lan: {text:?}: {why}; 8 to 30 bits"));
    }
    if address == net.network() || address == net.broadcast() {
        return Err(format!("lan: {address} means the whole network: the router needs an address in it"));
    }
    let usable = !address.is_multicast() && !address.is_loopback() && address.octets() < [240, 0, 0, 0];
    if usable && address > Ipv4Addr::new(1, 0, 0, 0) { Ok(net) } else { Err(wrong()) }
}

/// The file's text with another address for lan0; `none` = there is no file yet.
///
/// # Errors
/// When the file that stands is none that can be changed.
pub fn changed(path: &Path, bytes: Option<&[u8]>, net: Ipv4Net) -> Result<String, String> {
    let address = net.to_string();
    let mut file: Value = match bytes {
        // Without a file the NICs have these names; with one that says no more they have them still.
        None => json!({"interfaces": [{"name": "uplink0"}, {"name": LAN}]}),
        Some(bytes) => json::parse(path, bytes).map_err(|refusal: Refusal| refusal.to_string())?,
    };
    let entries = file.get_mut("interfaces").and_then(Value::as_array_mut);
    let named = |entry: &&mut Value| entry.get("name").and_then(Value::as_str) == Some(LAN);
    let entry = entries.and_then(|entries| entries.iter_mut().find(named)).and_then(Value::as_object_mut);
    let entry = entry.ok_or_else(|| format!("{}: there is no interface {LAN} in it", path.display()))?;
    if let Some(Ok(IpNet::V6(old))) = entry.get("addr").and_then(Value::as_str).map(str::parse) {
        return Err(format!("{}: {LAN} has {old} for addr: change it by `apply`", path.display()));
    }
    entry.insert("addr".to_owned(), address.into());
    serde_json::to_string_pretty(&file).map(|text| text + "\n").map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: Option<&str>) -> Result<Value, String> {
        let changed = changed(Path::new("interfaces.json"), text.map(str::as_bytes), parse("10.0.0.1/24").unwrap())?;
        Ok(serde_json::from_str(&changed).unwrap())
    }

    #[test]
    fn one_address_is_another_and_all_else_stays() {
        assert_eq!(
            change(None).unwrap(),
            json!({"interfaces": [{"name": "uplink0"}, {"name": "lan0", "addr": "10.0.0.1/24"}]})
        );
        let text = r#"{"Interfaces":[{"name":"lan0","Addr":"192.168.42.1/24","mtu":1400,"mine":7}],"bridges":[]}"#;
        let want =
            json!({"interfaces": [{"name": "lan0", "addr": "10.0.0.1/24", "mtu": 1400, "mine": 7}], "bridges": []});
        assert_eq!(change(Some(text)).unwrap(), want);
        for (text, said) in [
            ("{", "interfaces.json:1:"),
            ("{}", "no interface lan0"),
            ("[7]", "no interface lan0"),
            (r#"{"interfaces":[{"name":"lan0","addr":"fd00::1/64"}]}"#, "fd00::1/64"),
        ] {
            assert!(change(Some(text)).is_err_and(|words| words.contains(said)), "{text}");
        }
        for wrong in [
            "10.0.0.1",
            "10.0.0.0/24",
            "10.0.0.255/24",
            "10.0.0.1/31",
            "10.0.0.1/4",
            "fd00::1/64",
            "x",
            "127.0.0.1/8",
            "224.0.0.1/24",
            "0.0.0.1/8",
        ] {
            assert!(parse(wrong).is_err_and(|words| words.starts_with("lan: ")), "{wrong}");
        }
    }
}
