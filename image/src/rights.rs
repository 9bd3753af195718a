//! The table of rights in words: what each service may do, and why.
use crate::error::{Error, Result};
use ::rights::calls::{CALLS, Call, Test, Then, Who};
use ::rights::places::{Connects, PLACES, connects, listens, nodes, places};
use ::rights::{Capability, Control, SERVICES, Service};
use std::fmt::Write;

/// The table of one service, or of all.
///
/// # Errors
/// When there is no such service.
pub fn table(name: Option<&str>) -> Result<String> {
    let Some(name) = name else { return Ok(all()) };
    let service = ::rights::service(name).ok_or_else(|| {
        let names: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
        Error::new(format!("no service is called {name:?}")).next(format!("the services are {}", names.join(", ")))
    })?;
    let mut text = format!("{HEAD}{}\n{CALLS_HEAD}", row(service));
    for call in ::rights::calls::calls(service) {
        let _ = writeln!(text, "| {} | {} |", spelled(call), call.why);
    }
    Ok(text)
}

const HEAD: &str =
    "| Service | uid | Capabilities | Reads | Changes | Devices | TCP: listens on | TCP: connects to | Asks |
|---|---|---|---|---|---|---|---|---|
";
const CALLS_HEAD: &str = "
| System call | What for |
|---|---|
";

fn all() -> String {
    let mut text = HEAD.to_owned();
    for service in SERVICES {
        text.push_str(&row(service));
        text.push('\n');
    }
    text.push_str("\n| Place | Who | What for |\n|---|---|---|\n");
    for place in PLACES {
        let how = if place.change { "change" } else { "read" };
        let _ = writeln!(text, "| {how} `{}` | {} | {} |", place.path, who(&place.who), place.why);
    }
    text.push_str("\n| System call | Who | What for |\n|---|---|---|\n");
    for call in CALLS {
        let _ = writeln!(text, "| {} | {} | {} |", spelled(call), who(&call.who), call.why);
    }
    text
}

fn row(service: &'static Service) -> String {
    let list = |items: Vec<String>| if items.is_empty() { "–".to_owned() } else { items.join(", ") };
    let code = |path: &str| format!("`{path}`");
    let capabilities = service.capabilities.iter().map(|one| capability(*one).to_owned()).collect();
    let read = places(service).filter(|place| !place.change).map(|place| code(place.path)).collect();
    let own = [format!("/perm/{}", service.name)];
    let own = own.iter().map(String::as_str).chain(service.run.iter().copied());
    let change = own.chain(places(service).filter(|place| place.change).map(|place| place.path)).map(code).collect();
    let devices = nodes(service).map(code).collect();
    let ports = |ports: &[u16]| list(ports.iter().filter(|port| **port > 0).map(u16::to_string).collect());
    let to = match connects(service) {
        Connects::None => "–".to_owned(),
        Connects::To(some) => ports(some),
        Connects::Any => "any".to_owned(),
    };
    let control = match service.control {
        Control::None => None,
        Control::Read => Some("PID 1 (reads)"),
        Control::Update => Some("PID 1 (trial)"),
        Control::Full => Some("PID 1"),
    };
    let asks = service.asks.iter().copied().chain(control).map(str::to_owned).collect();
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        service.name,
        service.uid,
        list(capabilities),
        list(read),
        list(change),
        list(devices),
        ports(listens(service)),
        to,
        list(asks)
    )
}

fn capability(capability: Capability) -> &'static str {
    match capability {
        Capability::DacReadSearch => "DAC_READ_SEARCH",
        Capability::NetBindService => "NET_BIND_SERVICE",
        Capability::NetAdmin => "NET_ADMIN",
        Capability::NetRaw => "NET_RAW",
        Capability::SysTime => "SYS_TIME",
    }
}

fn who(who: &Who) -> String {
    match who {
        Who::All => "all".to_owned(),
        Who::But(names) => format!("all but {}", names.join(", ")),
        Who::Only(names) => names.join(", "),
    }
}

/// A call as it is written in C, with what its arguments have to be.
fn spelled(call: &Call) -> String {
    let mut conditions: Vec<String> = call.tests.iter().map(condition).collect();
    if let Then::Fails(number) = call.then {
        conditions.push(format!("fails with error {number}"));
    }
    match conditions.is_empty() {
        true => format!("`{}`", call.name),
        false => format!("`{}` ({})", call.name, conditions.join("; ")),
    }
}

fn condition(test: &Test) -> String {
    let hex = |values: &[u32]| -> String {
        let number = |value: &u32| if *value > 0xffff { format!("{value:#x}") } else { value.to_string() };
        values.iter().map(number).collect::<Vec<_>>().join(" or ")
    };
    // As the manual pages number them.
    match *test {
        Test::Is(at, u32::MAX, values) => format!("argument {} is {}", at + 1, hex(values)),
        Test::Is(at, mask, values) => format!("argument {} & {mask} is {}", at + 1, hex(values)),
        Test::Has(at, bits) => format!("argument {} has {bits:#x}", at + 1),
        Test::Lacks(at, bits) => format!("argument {} lacks {bits:#x}", at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_its_table_and_a_wrong_name_is_told() {
        for service in SERVICES {
            let text = table(Some(service.name)).unwrap();
            assert!(text.contains(&format!("| {} | {} |", service.name, service.uid)), "{text}");
        }
        let text = table(Some("panel")).unwrap();
        assert!(text.contains("`/dev/input/event0`") && !text.contains("`rename`"), "{text}");
        assert!(table(Some("dhcp")).unwrap_err().to_string().contains("no service is called"));
    }

    /// What the document says is what is compiled in.
    #[test]
    fn the_document_has_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SECURITY.md");
        let document = std::fs::read_to_string(path).unwrap();
        assert!(document.contains(&all()), "docs/SECURITY.md: its tables are to be those of `weir rights`:\n{}", all());
    }
}
