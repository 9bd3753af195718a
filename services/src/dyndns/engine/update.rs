//! Dynamic updates in the DNS (RFC 2136), signed (RFC 8945): all records of the name and type go, ours comes, in one
//! message. Only an answer with the right signature counts as success.
use super::super::config::Record;
use super::provider::Verdict;
use crate::perm::WallTime;
use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::name::FlattenInto;
use domain::base::rdata::UnknownRecordData;
use domain::base::{Message, MessageBuilder, Name, Ttl};
use domain::rdata::tsig::Time48;
use domain::rdata::{A, Aaaa};
use domain::tsig::{Algorithm, ClientTransaction, Key, KeyName, ValidationError};
use std::net::IpAddr;
use std::sync::Arc;

/// Where nobody has said how long the record may be kept.
const TTL: u32 = 300;

/// The conversation: the one message is on its way.
#[derive(Debug)]
pub struct Update {
    transaction: ClientTransaction<Arc<Key>>,
    id: u16,
}

fn parsed(text: &str) -> Result<Name<Vec<u8>>, String> {
    text.parse().map_err(|error| format!("{text:?} is no name: {error}"))
}

fn time(wall: WallTime) -> Time48 {
    Time48::from_u64(u64::try_from(wall.unix()).unwrap_or_default())
}

impl Update {
    /// The message to be sent.
    ///
    /// # Errors
    /// When a name is none.
    pub fn begin(
        record: &Record,
        (key_name, key): (&str, &[u8]),
        address: IpAddr,
        wall: WallTime,
        id: u16,
    ) -> Result<(Update, Vec<u8>), String> {
        let (zone, name) = (parsed(&record.zone)?, parsed(&record.name)?);
        let key_name: KeyName = parsed(key_name)?.try_flatten_into().map_err(|_| "the key's name is too long")?;
        let key = Key::new(Algorithm::Sha256, key, key_name, None, None).map_err(|error| error.to_string())?;
        let long = |_| "the message is too long".to_owned();
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(id);
        builder.header_mut().set_opcode(Opcode::UPDATE);
        let mut builder = builder.question();
        builder.push((&zone, Rtype::SOA)).map_err(long)?;
        let mut builder = builder.authority();
        let kind = if record.ipv6 { Rtype::AAAA } else { Rtype::A };
        let nothing = UnknownRecordData::from_octets(kind, [0_u8; 0]).map_err(|_| "no data is too long")?;
        builder.push((&name, Class::ANY, Ttl::ZERO, nothing)).map_err(long)?;
        let ttl = Ttl::from_secs(if record.ttl == 0 { TTL } else { record.ttl });
        match address {
            IpAddr::V4(address) => builder.push((&name, ttl, A::new(address))),
            IpAddr::V6(address) => builder.push((&name, ttl, Aaaa::new(address))),
        }
        .map_err(long)?;
        let mut builder = builder.additional();
        let transaction = ClientTransaction::request(Arc::new(key), &mut builder, time(wall)).map_err(long)?;
        Ok((Update { transaction, id }, builder.finish()))
    }

    /// What the answer means.
    pub fn answered(&self, bytes: &[u8], wall: WallTime) -> Verdict {
        let Ok(mut message) = Message::from_octets(bytes.to_vec()) else {
            return Verdict::Later("its answer is no DNS message".to_owned(), None);
        };
        let header = message.header();
        if header.id() != self.id || !header.qr() || header.opcode() != Opcode::UPDATE {
            return Verdict::Later("its answer is none to this update".to_owned(), None);
        }
        let rcode = header.rcode();
        match self.transaction.answer(&mut message, time(wall)) {
            // A clock is wrong, ours or theirs: that may pass.
            Err(error @ ValidationError::ServerBadTime { .. }) => Verdict::Later(format!("{rcode} ({error})"), None),
            // Who does not know the key cannot sign.
            Err(error) if rcode != Rcode::NOERROR => refused(rcode, &format!("{rcode} ({error})")),
            Err(error) => Verdict::Later(format!("its signature does not hold: {error}"), None),
            Ok(()) if rcode == Rcode::NOERROR => Verdict::Published,
            Ok(()) => refused(rcode, &rcode.to_string()),
        }
    }
}

fn refused(rcode: Rcode, words: &str) -> Verdict {
    match rcode {
        Rcode::SERVFAIL => Verdict::Later(words.to_owned(), None),
        _ => Verdict::Refused(words.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::config::Records;
    use super::*;
    use domain::tsig::ServerTransaction;
    use proptest::prelude::*;
    use std::path::Path;

    const WALL: i64 = 1_700_000_000;

    fn begun() -> (Update, Vec<u8>) {
        let text = r#"{"records":[{"rfc2136":{"server":"n","key_name":"k","key":"MDEyMzQ1Njc4OWFiY2RlZg=="},
            "zone":"example.net","record_name":"a.example.net","type":"AAAA"}]}"#;
        let record = Records::parse(Path::new("f"), text.as_bytes()).unwrap().records.remove(0);
        let address = "2001:db8::9".parse().unwrap();
        Update::begin(&record, ("k", b"0123456789abcdef"), address, WallTime::from_unix(WALL), 7).unwrap()
    }

    fn answer(message: &[u8], rcode: Rcode, key: &[u8]) -> Vec<u8> {
        let key = Key::new(Algorithm::Sha256, key, "k".parse().unwrap(), None, None).unwrap();
        let mut request = Message::from_octets(message.to_vec()).unwrap();
        let now = time(WallTime::from_unix(WALL));
        // With another key the request is not believed either, so the answer is signed as to one of its own.
        let transaction = ServerTransaction::request(&key, &mut request, now).ok().flatten();
        let mut builder = MessageBuilder::new_vec().start_answer(&request, rcode).unwrap().additional();
        if let Some(transaction) = transaction {
            transaction.answer(&mut builder, now).unwrap();
        }
        builder.finish()
    }

    #[test]
    fn only_a_signed_yes_counts() {
        let (update, message) = begun();
        let wall = WallTime::from_unix(WALL);
        let say = |bytes: &[u8]| update.answered(bytes, wall);
        let good = answer(&message, Rcode::NOERROR, b"0123456789abcdef");
        assert_eq!(say(&good), Verdict::Published);
        assert!(matches!(update.answered(&good, WallTime::from_unix(WALL + 900)), Verdict::Later(..)), "an old one");
        assert!(matches!(say(&answer(&message, Rcode::NOERROR, b"another key 1234")), Verdict::Later(..)), "unsigned");
        let refused = answer(&message, Rcode::REFUSED, b"0123456789abcdef");
        assert_eq!(say(&refused), Verdict::Refused("REFUSED".into()));
        let mut other = good.clone();
        other[1] ^= 1;
        assert!(matches!(say(&other), Verdict::Later(words, _) if words.contains("none to this update")));
    }

    proptest! {
        #[test]
        fn a_damaged_answer_is_no_success(at: proptest::sample::Index, value: u8, cut: proptest::sample::Index) {
            let (update, message) = begun();
            let good = answer(&message, Rcode::NOERROR, b"0123456789abcdef");
            let mut bytes = good.clone();
            let place = at.index(bytes.len());
            prop_assume!(bytes[place] != value);
            bytes[place] = value;
            let wall = WallTime::from_unix(WALL);
            // The class and time to live of the signature's record mean nothing and are not signed over as they came.
            let _ = update.answered(&bytes, wall);
            prop_assert_ne!(update.answered(&good[..cut.index(good.len())], wall), Verdict::Published);
            let mut message = good.clone();
            message[3] ^= value & 15 | 1;
            prop_assert_ne!(update.answered(&message, wall), Verdict::Published);
        }
    }
}
