//! The read-only root: one binary and the folders that things are mounted on.
//!
//! Packed with LZ4: twenty services start at once and touch all of the binary, so all of it is unpacked before the router is
//! ready. Zstd (level 19) packs a fifth tighter and executes eight times the instructions, which was 7 tenths of the way
//! from PID 1 to ready.
use std::fs;
use std::io::Cursor;
use std::path::Path;

use backhand::compression::{CompressionAction, CompressionOptions, Compressor, Lz4};
use backhand::kind::Kind;
use backhand::{BackhandError, FilesystemCompressor, FilesystemWriter, Flags, NodeHeader, SuperBlock};
use lz4::block::CompressionMode;

use crate::error::{Context, Result};
use crate::{oui, zones};

/// Size of a block that is compressed as one. A page that is touched for the first time costs reading and unpacking its
/// whole block, so smaller starts faster and larger packs tighter.
const BLOCK: u32 = 128 * 1024;
/// The level that packs tightest.
const MODE: CompressionMode = CompressionMode::HIGHCOMPRESSION(12);
/// What the kernel wants to read behind the superblock: the block format's version and the flag that says "high compression".
const OPTIONS: Lz4 = Lz4 { version: 1, flags: 1 };

/// Mount points and folders, with their modes; `/tmp` and `/root` lie under what PID 1 mounts there.
const FOLDERS: [(&str, u16); 10] = [
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("etc/update-keys", 0o755),
    ("perm", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
];

/// A file of the root, by its path without the slash before it.
pub type Extra = (String, Vec<u8>);

/// liblz4's high compression, which backhand does not know.
struct HighCompression;

impl CompressionAction for HighCompression {
    type Error = BackhandError;
    type Compressor = Compressor;
    type FilesystemCompressor = FilesystemCompressor;
    type SuperBlock = SuperBlock;

    fn decompress(&self, bytes: &[u8], out: &mut Vec<u8>, _: Compressor) -> std::result::Result<(), BackhandError> {
        *out = lz4::block::decompress(bytes, Some(i32::try_from(out.capacity()).unwrap_or(i32::MAX)))?;
        Ok(())
    }

    fn compress(&self, bytes: &[u8], _: FilesystemCompressor, _: u32) -> std::result::Result<Vec<u8>, BackhandError> {
        Ok(lz4::block::compress(bytes, Some(MODE), false)?)
    }

    fn compression_options(
        &self,
        superblock: &mut SuperBlock,
        _: &Kind,
        _: FilesystemCompressor,
    ) -> std::result::Result<Option<Vec<u8>>, BackhandError> {
        superblock.flags |= Flags::CompressorOptionsArePresent as u16;
        // A metadata block of eight bytes that is not packed.
        let mut block = 0x8008_u16.to_le_bytes().to_vec();
        block.extend(OPTIONS.version.to_le_bytes());
        block.extend(OPTIONS.flags.to_le_bytes());
        Ok(Some(block))
    }
}

/// Packs the root; everything belongs to root and carries `mtime`. `version` is the text of `/etc/version`; `more` are the
/// keys of who may sign updates, and the empty `/perm`.
///
/// # Errors
/// When the services binary cannot be read or the packer refuses.
pub fn pack(services: &Path, version: &str, more: &[Extra], mtime: u32) -> Result<Vec<u8>> {
    let binary = fs::read(services).cannot_file("read", services)?;
    let makers = oui::file(Path::new(oui::FOLDER))?;
    write(&binary, &makers, version, more, mtime).cannot(|| "pack the root filesystem".into())
}

fn write(
    services: &[u8],
    makers: &[u8],
    version: &str,
    keys: &[Extra],
    mtime: u32,
) -> std::result::Result<Vec<u8>, BackhandError> {
    let mut root = FilesystemWriter::default();
    root.set_kind(Kind::new_v4(&HighCompression));
    root.set_compressor(FilesystemCompressor::new(Compressor::Lz4, Some(CompressionOptions::Lz4(OPTIONS)))?);
    root.set_block_size(BLOCK);
    root.set_time(mtime);
    root.set_only_root_id();
    root.set_root_mode(0o755);
    let header = |mode| NodeHeader::new(mode, 0, 0, mtime);
    for (folder, mode) in FOLDERS {
        root.push_dir(folder, header(mode))?;
    }
    root.push_file(Cursor::new(version.as_bytes()), "etc/version", header(0o644))?;
    root.push_file(Cursor::new(zones::file().into_bytes()), "etc/timezones", header(0o644))?;
    root.push_file(Cursor::new(makers), "etc/oui", header(0o644))?;
    for (path, bytes) in keys {
        root.push_file(Cursor::new(bytes), path, header(0o644))?;
    }
    root.push_file(Cursor::new(services), "bin/services", header(0o755))?;
    let mut image = Cursor::new(Vec::new());
    root.write(&mut image)?;
    Ok(image.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use backhand::{FilesystemReader, InnerNode};

    #[test]
    fn what_is_packed_is_read_back() {
        let binary: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let image =
            write(&binary, b"makers", "1.2.3\n", &[("etc/update-keys/a.pub".into(), b"RW".to_vec())], 1_000_000_000)
                .unwrap();
        assert_eq!(
            image,
            write(&binary, b"makers", "1.2.3\n", &[("etc/update-keys/a.pub".into(), b"RW".to_vec())], 1_000_000_000)
                .unwrap(),
            "the same bytes each time"
        );
        assert_eq!(image.len() % 4096, 0, "a block device reads whole pages");
        let reader = FilesystemReader::from_reader_with_offset_and_kind(
            std::io::BufReader::new(Cursor::new(image)),
            0,
            Kind::new_v4(&HighCompression),
        )
        .unwrap();
        let mut names = Vec::new();
        for node in reader.files() {
            let name = node.fullpath.to_string_lossy().into_owned();
            assert_eq!((node.header.uid, node.header.gid), (0, 0), "{name}");
            if name != "/" {
                assert_eq!(node.header.mtime, 1_000_000_000, "{name}");
            }
            if let (InnerNode::File(file), "/bin/services") = (&node.inner, name.as_str()) {
                let mut content = Vec::new();
                std::io::Read::read_to_end(&mut reader.file(file).reader(), &mut content).unwrap();
                assert!(content == binary);
                assert_eq!(node.header.permissions, 0o755);
            }
            names.push(name);
        }
        for (folder, _) in FOLDERS {
            assert!(names.contains(&format!("/{folder}")), "{folder} is missing from {names:?}");
        }
    }
}
