//! What may be asked of deviced: a line of JSON such as `{"op":"fix","hardware_addr":"02:00:5e:10:00:07","name":"nas"}`.
use super::engine::{Engine, label};
use crate::perm::{Mac, WallTime};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Request {
    /// A device's name, until it is forgotten; an empty one takes it away.
    Rename { hardware_addr: Mac, name: String },
    /// The name that is fixed to a hardware address: such a device is never forgotten by itself.
    Fix { hardware_addr: Mac, name: String },
    /// A device and all that was said of it.
    Forget { hardware_addr: Mac },
}

/// Does what a line asks for.
///
/// # Errors
/// In words what is wrong with it; nothing has changed then.
pub fn apply(engine: &mut Engine, wall: WallTime, line: &[u8], vendor: impl Fn(Mac) -> String) -> Result<(), String> {
    let request: Request = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let checked = |name: &str| match label(name) {
        Some(label) => Ok(label),
        None if name.is_empty() => Ok(String::new()),
        None => Err(format!("{name:?} is not a name: letters, digits and inner hyphens, 63 at most")),
    };
    match request {
        Request::Rename { hardware_addr, name } => {
            let name = checked(&name)?;
            if !engine.rename(hardware_addr, &name) {
                return Err(format!("{hardware_addr} was never seen"));
            }
        }
        Request::Fix { hardware_addr, name } => {
            let name = checked(&name)?;
            if engine.is_taken(&name, hardware_addr) {
                return Err(format!("{name:?} is fixed to another device"));
            }
            engine.fix(wall, hardware_addr, &name, || vendor(hardware_addr))?;
        }
        Request::Forget { hardware_addr } => {
            if !engine.forget(hardware_addr) {
                return Err(format!("{hardware_addr} was never seen"));
            }
        }
    }
    Ok(())
}
