//! The few packets of MQTT 3.1.1 that a publisher needs.

/// Asks for a session without memory (3.1); keep-alive in seconds.
pub fn connect(client: &str, keep_alive: u16) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, "MQTT");
    body.extend_from_slice(&[4, 2]);
    body.extend_from_slice(&keep_alive.to_be_bytes());
    text(&mut body, client);
    packet(0x10, &body)
}

/// A message of QoS 0 that the broker keeps for whoever comes later (3.3).
pub fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, topic);
    body.extend_from_slice(payload);
    packet(0x31, &body)
}

/// A sign of life (3.12).
pub fn ping() -> Vec<u8> {
    packet(0xc0, &[])
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    let text = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
    bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
    bytes.extend_from_slice(text);
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    let mut length = body.len();
    loop {
        let low = (length % 128) as u8;
        length /= 128;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// What a broker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It takes us.
    Welcome,
    /// It does not, for this reason (3.2.2.3).
    Refused(u8),
    /// Anything else: a sign of life.
    Alive,
}

/// The next packet and its length; `None` while it is not whole.
///
/// # Errors
/// When it is none, or longer than a broker has to say to us.
pub fn parse(bytes: &[u8]) -> Result<Option<(Said, usize)>, &'static str> {
    let (Some(kind), mut length, mut at) = (bytes.first(), 0usize, 1) else { return Ok(None) };
    loop {
        let Some(byte) = bytes.get(at) else { return Ok(None) };
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if at > 4 {
            return Err("its length has no end");
        }
    }
    if length > 1_024 {
        return Err("it says more than a publisher has to hear");
    }
    let Some(body) = bytes.get(at..at + length) else { return Ok(None) };
    let said = match (kind >> 4, body) {
        (2, [_, 0]) => Said::Welcome,
        (2, [_, code]) => Said::Refused(*code),
        (2, _) => return Err("its answer is not two bytes long"),
        _ => Said::Alive,
    };
    Ok(Some((said, at + length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packets_as_the_standard_shows_them() {
        assert_eq!(connect("dhcp4d", 60), b"\x10\x12\x00\x04MQTT\x04\x02\x00\x3c\x00\x06dhcp4d");
        assert_eq!(publish("a/b", b"hi"), b"\x31\x07\x00\x03a/bhi");
        let long = publish("t", &[0; 321]);
        assert_eq!(long[..3], [0x31, 0x80 | (324 % 128) as u8, (324 / 128) as u8]);
        assert_eq!(parse(&[0x20, 2, 0, 0, 0xd0]), Ok(Some((Said::Welcome, 4))));
        assert_eq!(parse(&[0x20, 2, 0, 5]), Ok(Some((Said::Refused(5), 4))));
        assert_eq!(parse(&[0xd0, 0]), Ok(Some((Said::Alive, 2))));
        assert_eq!(parse(&[0x20, 2, 0]), Ok(None));
        assert!(parse(&[0x30, 0xff, 0xff, 0xff, 0xff]).is_err() && parse(&[0x20, 0]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_met_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&bytes);
        }
    }
}
