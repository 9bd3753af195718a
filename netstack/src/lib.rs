//! What touches the kernel's network or a raw frame; no policy.
pub mod address;
pub mod event;
pub mod link;
pub mod netlink;
pub mod route;
pub mod sys;
pub mod time;
