//! The engine against providers played by the test, in virtual time; what the file may say; whose address it is.
mod addresses;
mod config;
mod talk;
