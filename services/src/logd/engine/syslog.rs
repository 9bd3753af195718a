//! A line as RFC 5424 has it.
use super::Line;
use crate::perm::WallTime;

/// `kern` and `daemon` (RFC 5424, section 6.2.1).
const KERNEL: u8 = 0;
const DAEMON: u8 = 3;
const ERROR: u8 = 3;
const WARNING: u8 = 4;
const INFORMATIONAL: u8 = 6;
/// Bytes of a message by UDP: what crosses any link whole (RFC 5426, section 3.2: 1,180 at least).
const LONGEST: usize = 1_200;

/// The message. `zero` is the wall time of the boot; none while no clock knows it.
pub fn message(line: &Line, hostname: &str, zero: Option<WallTime>) -> Vec<u8> {
    let facility = if line.name == "kernel" { KERNEL } else { DAEMON };
    // The line begins with its service's name, and what is worse than usual with its mark (house::logger).
    let text = line.line.strip_prefix(&line.name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&line.line);
    let severity = match text {
        _ if text.starts_with("error: ") || text.contains(" panicked at ") => ERROR,
        _ if text.starts_with("warning: ") => WARNING,
        _ => INFORMATIONAL,
    };
    let time = zero.map(|zero| zero.after(std::time::Duration::from_millis(line.t_ms)).to_string());
    let (time, host) = (time.as_deref().unwrap_or("-"), if hostname.is_empty() { "-" } else { hostname });
    let head = format!("<{}>1 {time} {host} {} - - - ", facility * 8 + severity, line.name);
    let mut bytes = head.into_bytes();
    let clean = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut letter_bytes = [0; 4];
    for letter in clean {
        let letter = letter.encode_utf8(&mut letter_bytes).as_bytes();
        if bytes.len() + letter.len() > LONGEST {
            break;
        }
        bytes.extend_from_slice(letter);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str, zero: Option<i64>) -> String {
        let line = Line { name: name.into(), t_ms: 1_250, stream: "err".into(), line: text.into() };
        String::from_utf8(message(&line, "weir", zero.map(WallTime::from_unix))).unwrap()
    }

    #[test]
    fn as_the_rfc_has_it() {
        let zero = Some(1_795_716_000);
        for (name, text, wanted) in [
            ("dnsd", "dnsd: ready", "<30>1 2026-11-26T18:00:01.25Z weir dnsd - - - ready"),
            ("dnsd", "dnsd: warning: x\ty", "<28>1 2026-11-26T18:00:01.25Z weir dnsd - - - warning: x y"),
            ("dhcp4", "dhcp4: error: no", "<27>1 2026-11-26T18:00:01.25Z weir dhcp4 - - - error: no"),
            ("kernel", "eth0: up", "<6>1 2026-11-26T18:00:01.25Z weir kernel - - - eth0: up"),
        ] {
            assert_eq!(of(name, text, zero), wanted);
        }
        assert_eq!(of("a", "init: died", None), "<30>1 - weir a - - - init: died");
        assert_eq!(of("a", &"ü".repeat(2_000), None).len(), 1_200 - 1);
    }
}
