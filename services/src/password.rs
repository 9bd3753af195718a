//! The appliance password as it is kept: one argon2id hash (RFC 9106) in the form of the password hashing competition,
//! `$argon2id$v=19$m=7168,t=5,p=1$SALT$HASH`. Made on the router and on the host alike.
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64ct::{Base64Unpadded, Encoding};

/// Memory in KiB, passes and lanes: OWASP's for a machine with little memory; a check takes 7 MiB while it lasts.
const COST: (u32, u32, u32) = (7_168, 5, 1);
const HEAD: &str = "$argon2id$v=19$m=7168,t=5,p=1$";
/// Bytes of a salt.
pub const SALT: usize = 16;
const HASH: usize = 32;
/// Letters and bytes that a new password may have.
const SHORTEST: usize = 8;
const LONGEST: usize = 128;

/// Whether a password may be set.
///
/// # Errors
/// In words why not.
pub fn fit(password: &str) -> Result<(), String> {
    if password.chars().count() < SHORTEST || password.len() > LONGEST {
        return Err(format!("a password has {SHORTEST} to {LONGEST} letters"));
    }
    if password.chars().any(char::is_control) {
        return Err("a password has no control characters".into());
    }
    Ok(())
}

/// The hash of a password, whatever it is, as it is kept; the salt has to be random.
///
/// # Errors
/// When memory is short.
pub fn hash(password: &str, salt: [u8; SALT]) -> Result<String, String> {
    let hash = computed(password, &salt)?;
    Ok(format!("{HEAD}{}${}", Base64Unpadded::encode_string(&salt), Base64Unpadded::encode_string(&hash)))
}

/// Salt and hash of what is kept.
///
/// # Errors
/// When it is not ours.
pub fn parse(kept: &str) -> Result<([u8; SALT], [u8; HASH]), String> {
    let parts = kept.trim_end().strip_prefix(HEAD).and_then(|rest| rest.split_once('$'));
    let (salt, hash) = parts.ok_or_else(|| format!("does not begin with {HEAD}"))?;
    let decoded = |text: &str| Base64Unpadded::decode_vec(text).ok();
    let salt = decoded(salt).and_then(|salt| salt.try_into().ok()).ok_or("its salt is not 16 bytes in base64")?;
    let hash = decoded(hash).and_then(|hash| hash.try_into().ok()).ok_or("its hash is not 32 bytes in base64")?;
    Ok((salt, hash))
}

/// Whether this is the password. Takes the time and the memory of a hash, which is given back.
///
/// # Errors
/// When what is kept is not ours, or memory is short.
pub fn is_right(kept: &str, password: &str) -> Result<bool, String> {
    let (salt, hash) = parse(kept)?;
    Ok(equal(&computed(password, &salt)?, &hash))
}

fn computed(password: &str, salt: &[u8]) -> Result<[u8; HASH], String> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, Some(HASH)).map_err(|error| error.to_string())?;
    let mut hash = [0; HASH];
    let mut memory = vec![Block::default(); params.block_count()];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let result = argon.hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, &mut memory);
    drop(memory);
    // The C library would keep it for a next time that is far off.
    netstack::memory::give_back();
    result.map(|()| hash).map_err(|error| error.to_string())
}

/// In the same time wherever they differ.
pub fn equal(a: &[u8; HASH], b: &[u8; HASH]) -> bool {
    a.iter().zip(b).fold(0, |differs, (a, b)| std::hint::black_box(differs | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hash_knows_its_password() {
        let kept = hash("correct horse", [7; SALT]).unwrap();
        // As the reference implementation says (argon2 -id -t 5 -k 7168 -p 1 -e, the salt being 16 times 7).
        let reference = "BwcHBwcHBwcHBwcHBwcHBw$fa+qNNUDrXo/TV/DkEjqECMpAe2xRAMFzKBvIhZP5ns";
        assert_eq!(kept, format!("{HEAD}{reference}"));
        assert_eq!(is_right(&format!("{kept}\n"), "correct horse"), Ok(true));
        assert_eq!(is_right(&kept, "correct horsf"), Ok(false));
        assert_ne!(kept, hash("correct horse", [8; SALT]).unwrap());
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for kept in ["", "secret", "$argon2id$v=19$m=7168,t=5,p=1$BwcH$BwcH", "$argon2i$v=19$m=7168,t=5,p=1$a$b"] {
            assert!(is_right(kept, "secret").is_err(), "{kept}");
        }
        assert!(fit("seven77").is_err() && fit("eight888").is_ok() && fit(&"x".repeat(129)).is_err());
        assert!(fit("with\ttabs").is_err());
    }

    proptest! {
        #[test]
        fn any_file_is_met_without_panic(kept in "(\\$argon2id\\$v=19\\$m=7168,t=5,p=1\\$)?[A-Za-z0-9+/=$]{0,80}") {
            let _ = parse(&kept);
        }
    }
}
