//! What writes weir to a disk, wherever it comes from: by the network (`installer`, PID 1 of that start) or from a weir that
//! runs already (`services install`).
pub mod contents;
pub mod disks;
pub mod sys;
pub mod write;
