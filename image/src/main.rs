//! `weir`, the host tool: packs images, boots them, checks a person's files and sends them, unpacks backups.
#![forbid(unsafe_code)]
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::*;
use weir::error::{Context, Error, Result};
use weir::machine::{Board, Firmware};
use weir::{apply, capture, check, pack, recover, report, restore, run, send, update, write};

const HELP: &str = "\
weir image --kernel DIR [--output DIR] [--interfaces FILE] [--perm DIR] [--password-file FILE]
           [--sign KEY] [--update-key PUB]
    Packs vmlinuz, initrd.img, root.squashfs, disk.img and manifest.json into the output folder, whose bin/ holds the
    router's binaries.
      --kernel DIR       folder of the built kernel: the last line of kernel-config/build.sh
      --output DIR       target/appliance
      --interfaces FILE  an interfaces.json for /perm; without one the first NIC is uplink0, the second lan0
      --perm DIR         files for /perm
      --sign KEY         also packs weir.update, signed by this key, which the image then trusts (weir key makes one)
      --update-key PUB   a public key that may sign updates for this image; can be said more than once
      --password-file FILE  its first line is the router's password, of which the image gets a hash
    SOURCE_DATE_EPOCH (0) is the time that everything carries, WEIR_COMMIT the commit that the manifest names.

weir run [--image DIR] [--state DIR] [--dns-port N] [--web-port N] [--memory MIB] [--machine virtio|q35|pc] [--firmware bios|uefi]
         [--disk-bus virtio|ahci|nvme|usb] [--append WORDS]
    Boots the image in QEMU with the console on this terminal; Ctrl-A X leaves. /perm is kept from run to run.
      --image DIR        target/appliance
      --state DIR        target/run
      --dns-port N       5300: port of 127.0.0.1 that leads to the router's port 53
      --web-port N       8080: port of 127.0.0.1 that leads to the router's port 80
      --memory MIB       256
      --machine NAME     virtio: disk and NICs are; q35: the disk on AHCI; pc: an old board
      --firmware NAME    bios or uefi: that starts the disk by itself; without it QEMU loads the kernel
      --disk-bus NAME    where the disk is plugged in
      --append WORDS     more words for the kernel command line (without --firmware)
    WEIR_KVM=1 uses KVM; without it the machine is emulated, which is fast enough.

weir write DISK [--image FILE] [--erase] [--yes]
    Makes a disk or stick a router's: only what holds data is written, everything is read back. A /perm of weir's or of
    router7's is kept; what else is on the disk is asked about. A disk in use is refused. DISK may be a file.
      --image FILE       target/appliance/disk.img
      --erase            makes /perm anew
      --yes              asks nothing

weir check DIR
    Checks the files that a person writes, in a folder laid out like /perm, with the router's own code: file, line, field
    and value of everything that is wrong. docs/CONFIGURATION.md describes them.

weir apply qemu DIR [--confirm SECONDS] [--state DIR]
    Checks the files and sends them to the machine that `weir run` has started. With --confirm they are on trial for that
    long (5 to 3600) and gone by themselves unless they are kept; without, they are kept at once.
      --state DIR        target/run
weir keep qemu [--state DIR]
weir revert qemu [--state DIR]
    Keeps the files that are on trial, or takes them back.

weir capture HOST [control|dns|all [ADDRESS]]
    Shows a router's last control packets, then what comes, as pcapng on standard output: weir capture HOST | wireshark -k -i -

weir restore BACKUP DIR
weir restore BACKUP qemu [--confirm SECONDS] [--state DIR]
    Unpacks a backup.tar.gz, weir's or router7's, into a new folder, for `weir image --perm DIR`; or sends those of its files
    that a person writes to the machine that `weir run` has started, as `weir apply` does. A backup with an entry that
    would land elsewhere is refused by that entry's name.

weir key FILE
    Makes a key that signs updates: the secret one in FILE, the public one in FILE.pub; both are minisign's.
weir verify UPDATE [--update-key PUB]
    Says what an update is, whether it is whole, and whether this key has signed it (a key or more has to be said).

weir update HOST FILE [--password-file FILE | --token TEXT] [--again]
    Sends a signed update to a router, which writes it into the slot that is not running, checks it, and starts it once; it
    stays there when the LAN is served and the internet works as before, else the router goes back by itself.
      --password-file FILE  its first line is the router's password; unsaid, it is asked for
      --token TEXT          the router's token (`token` at its console)
      --again               even if the router has tried this update and found it no good

weir recover [--interface NAME] [--image DIR] [--backup FILE] [--disk NAME] [--overwrite] [--erase] [--stay]
             [--first-host N] [--append WORDS]
    Installs weir on a machine that starts from the network (root): answers its firmware by DHCP, TFTP and HTTP on one
    interface, and shows what the machine tells. What else is on that network is left alone. /perm stays, weir's or router7's.
      --interface NAME   the only one with an IPv4 address
      --image DIR        target/appliance
      --backup FILE      a backup.tar.gz that becomes the new /perm
      --disk NAME        such as sda; unsaid, weir's or router7's disk, else an empty one
      --overwrite        a disk that another system uses is taken as well
      --erase            /perm is made anew
      --stay             goes on after the first machine
      --first-host N     201: the last byte of the first address that a machine gets
      --append WORDS     more words for the kernel command line

weir report [LOG] [--board NAME]
    From the serial log of any board, a file or standard input: when firmware, loader, kernel and PID 1 first spoke, when a link
    was up and the router ready, and that as a row for the table in docs/SPECIFICATION.md. A time before each line counts:
    picocom -b 115200 /dev/ttyUSB0 | ts -s '%H:%M:%.S' | tee boot.log

weir rights [SERVICE]
    What each service of the router may do, and why: user, capabilities, files, ports, system calls. docs/SECURITY.md has it.

weir --version
";

fn main() -> ExitCode {
    match command() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("weir: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Result<ExitCode> {
    let mut arguments = lexopt::Parser::from_env();
    match arguments.next().map_err(usage)? {
        Some(Value(verb)) if verb == "image" => image(arguments),
        Some(Value(verb)) if verb == "check" => check_folder(arguments),
        Some(Value(verb)) if verb == "write" => write_disk(arguments),
        Some(Value(verb)) if verb == "run" => run_machine(arguments),
        Some(Value(verb)) if verb == "apply" => apply_folder(arguments),
        Some(Value(verb)) if verb == "key" => make_key(arguments),
        Some(Value(verb)) if verb == "update" => send_update(arguments),
        Some(Value(verb)) if verb == "verify" => verify_update(arguments),
        Some(Value(verb)) if verb == "recover" => recover_machine(arguments),
        Some(Value(verb)) if verb == "report" => read_log(arguments),
        Some(Value(verb)) if verb == "capture" => look_on(arguments),
        Some(Value(verb)) if verb == "restore" => restore_backup(arguments),
        Some(Value(verb)) if verb == "keep" || verb == "revert" => decide(arguments, &verb.to_string_lossy()),
        Some(Value(verb)) if verb == "rights" => show_rights(arguments),
        Some(Long("version")) => {
            println!("weir {}", pack::VERSION);
            Ok(ExitCode::SUCCESS)
        }
        None | Some(Long("help") | Short('h')) => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => Err(usage(other.unexpected())),
    }
}

fn image(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut kernel = None;
    let mut order = pack::Order {
        output: "target/appliance".into(),
        kernel: PathBuf::new(),
        interfaces: None,
        perm: None,
        password: None,
        update_keys: Vec::new(),
        sign: None,
        epoch: epoch()?,
        commit: std::env::var("WEIR_COMMIT").ok().filter(|commit| !commit.is_empty()),
    };
    while let Some(argument) = arguments.next().map_err(usage)? {
        match argument {
            Long("kernel") => kernel = Some(path(&mut arguments)?),
            Long("output") => order.output = path(&mut arguments)?,
            Long("interfaces") => order.interfaces = Some(path(&mut arguments)?),
            Long("perm") => order.perm = Some(path(&mut arguments)?),
            Long("update-key") => order.update_keys.push(path(&mut arguments)?),
            Long("sign") => order.sign = Some(path(&mut arguments)?),
            Long("password-file") => order.password = Some(path(&mut arguments)?),
            Long("help") | Short('h') => return help(),
            other => return Err(usage(other.unexpected())),
        }
    }
    order.kernel = kernel.ok_or_else(|| {
        Error::new("which kernel?").next("say --kernel DIR; kernel-config/build.sh prints the folder as its last line")
    })?;
    pack::pack(&order)?;
    Ok(ExitCode::SUCCESS)
}

fn check_folder(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut folder = None;
    while let Some(argument) = arguments.next().map_err(usage)? {
        match argument {
            Value(path) if folder.is_none() => folder = Some(PathBuf::from(path)),
            Long("help") | Short('h') => return help(),
            other => return Err(usage(other.unexpected())),
        }
    }
    let folder = folder.ok_or_else(|| Error::new("which folder?").next("weir check DIR"))?;
    check::check(&folder)?;
    Ok(ExitCode::SUCCESS)
}

fn apply_folder(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let (mut values, mut state, mut confirm) = (Vec::new(), PathBuf::from("target/run"), None);
    while let Some(argument) = arguments.next().map_err(usage)? {
        match argument {
            Long("confirm") => confirm = Some(arguments.value().and_then(|value| value.parse()).map_err(usage)?),
            Long("state") => state = path(&mut arguments)?,
            Value(value) if values.len() < 2 => values.push(value),
            Long("help") | Short('h') => return help(),
            other => return Err(usage(other.unexpected())),
        }
    }
    let Ok([host, folder]) = <[_; 2]>::try_from(values) else {
        return Err(Error::new("to which router, and which folder?").next("weir apply qemu DIR --confirm 60"));
    };
    let host = host.to_string_lossy().into_owned();
    apply::apply(&apply::Target { host, state }, &PathBuf::from(folder), confirm)?;
    Ok(ExitCode::SUCCESS)
}

fn show_rights(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut name = None;
    while let Some(argument) = arguments.next().map_err(usage)? {
        match argument {
            Value(value) if name.is_none() => name = Some(value.string().map_err(usage)?),
            Long("help") | Short('h') => return help(),
            other => return Err(usage(other.unexpected())),
        }
    }
    print!("{}", weir::rights::table(name.as_deref())?);
    Ok(ExitCode::SUCCESS)
}

fn read_log(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let (mut path, mut board) = (None, None);
    while let Some(argument) = arguments.next().map_err(usage)? {
        match argument {
            Value(value) if path.is_none() => path = Some(PathBuf::from(value)),
            Long("board") => board = Some(arguments.value().and_then(|value| value.string()).map_err(usage)?),
            Long("help") | Short('h') => return help(),
            other => return Err(usage(other.unexpected())),
        }
    }
    let bytes = match &path {
        Some(path) => std::fs::read(path).cannot_file("read", path)?,
        None => {
            let mut bytes = Vec::new();
            let read = std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes);
            read.cannot(|| "read the log".into())?;
            bytes
        }
    };
    print!("{}", report::read(&String::from_utf8_lossy(&bytes)).text(board.as_deref()));
    Ok(ExitCode::SUCCESS)
}

fn look_on(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut words = Vec::new();
    while let Some(argument) = arguments.next().map_err(usage)? {
        match argument {
            Value(value) => words.push(value.string().map_err(usage)?),
            Long("help") | Short('h') => return help(),
            other => return Err(usage(other.unexpected())),
        }
    }
    let (host, words) = words
        .split_first()
        .ok_or_else(|| Error::new("which router?").next("weir capture 192.168.42.1 | wireshark -k -i -"))?;
    let status = capture::capture(host, words)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn restore_backup(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let (mut values, mut state, mut confirm) = (Vec::new(), PathBuf::from("target/run"), None);
    while let Some(argument) = arguments.next().map_err(usage)? {
        match argument {
            Long("confirm") => confirm = Some(arguments.value().and_then(|value| value.parse()).map_err(usage)?),
            Long("state") => state = path(&mut arguments)?,
            Value(value) if values.len() < 2 => values.push(PathBuf::from(value)),
            Long("help") | Short('h') => return help(),
            other => return Err(usage(other.unexpected())),
        }
    }
    let Ok([backup, to]) = <[_; 2]>::try_from(values) else {
        return Err(Error::new("which backup, and where to?").next("weir restore BACKUP DIR"));
    };
    if to.to_str() == Some("qemu") {
        restore::send(&apply::Target { host: "qemu".into(), state }, &backup, confirm)?;
    } else if confirm.is_some() {
        return Err(Error::new("--confirm is for a router").next("weir restore BACKUP qemu --confirm 60"));
    } else {
        restore::unpack(&backup, &to)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn make_key(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut file = None;
    while let Some(argument) = arguments.next().map_err(usage)? {
        match argument {
            Value(path) if file.is_none() => file = Some(PathBuf::from(path)),
            Long("help") | Short('h') => return help(),
            other => return Err(usage(other.unexpected())),
        }
    }
    update::make_key(&file.ok_or_else(|| Error::new("into which file?").next("weir key FILE"))?)?;
    Ok(ExitCode::SUCCESS)
}

fn verify_update(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let (mut file, mut keys) = (None, Vec::new());
    while let Some(argument) = arguments.next().map_err(usage)? {
        match argument {
            Value(path) if file.is_none() => file = Some(PathBuf::from(path)),
            Long("update-key") => keys.push(path(&mut arguments)?),
            Long("help") | Short('h') => return help(),
            other => return Err(usage(other.unexpected())),
        }
    }
    let file = file.ok_or_else(|| Error::new("which update?").next("weir verify UPDATE --update-key KEY.pub"))?;
    update::verify(&file, &keys)?;
    Ok(ExitCode::SUCCESS)
}

fn send_update(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let (mut values, mut claim, mut again) = (Vec::new(), None, false);
    while let Some(argument) = arguments.next().map_err(usage)? {
        match argument {
            Value(value) if values.len() < 2 => values.push(value),
            Long("again") => again = true,
            Long("password-file") => {
                let path = path(&mut arguments)?;
                let text = std::fs::read_to_string(&path).cannot_file("read", &path)?;
                claim = Some(send::Claim::Password(text.lines().next().unwrap_or_default().to_owned()));
            }
            Long("token") => {
                claim = Some(send::Claim::Token(arguments.value().and_then(ValueExt::string).map_err(usage)?));
            }
            Long("help") | Short('h') => return help(),
            other => return Err(usage(other.unexpected())),
        }
    }
    let Ok([host, file]) = <[_; 2]>::try_from(values) else {
        return Err(Error::new("to which router, and which update?").next("weir update 192.168.42.1 weir.update"));
    };
    let claim = match claim {
        Some(claim) => claim,
        None => {
            eprint!("password of {}: ", host.to_string_lossy());
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).cannot(|| "read the password".into())?;
            send::Claim::Password(line.trim_end_matches(['\r', '\n']).to_owned())
        }
    };
    send::send(&host.to_string_lossy(), &PathBuf::from(file), &claim, again)?;
    Ok(ExitCode::SUCCESS)
}

fn recover_machine(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut order = recover::Order {
        interface: None,
        image: "target/appliance".into(),
        backup: None,
        disk: None,
        overwrite: false,
        erase: false,
        stay: false,
        first_host: recover::FIRST_HOST,
        append: None,
    };
    while let Some(argument) = arguments.next().map_err(usage)? {
        match argument {
            Long("interface") => order.interface = Some(arguments.value().and_then(ValueExt::string).map_err(usage)?),
            Long("image") => order.image = path(&mut arguments)?,
            Long("backup") => order.backup = Some(path(&mut arguments)?),
            Long("disk") => order.disk = Some(arguments.value().and_then(ValueExt::string).map_err(usage)?),
            Long("append") => order.append = Some(arguments.value().and_then(ValueExt::string).map_err(usage)?),
            Long("overwrite") => order.overwrite = true,
            Long("erase") => order.erase = true,
            Long("stay") => order.stay = true,
            Long("first-host") => {
                order.first_host = arguments.value().and_then(|value| value.parse()).map_err(usage)?
            }
            Long("help") | Short('h') => return help(),
            other => return Err(usage(other.unexpected())),
        }
    }
    recover::recover(&order)?;
    Ok(ExitCode::SUCCESS)
}

fn decide(mut arguments: lexopt::Parser, word: &str) -> Result<ExitCode> {
    let (mut host, mut state) = (None, PathBuf::from("target/run"));
    while let Some(argument) = arguments.next().map_err(usage)? {
        match argument {
            Long("state") => state = path(&mut arguments)?,
            Value(value) if host.is_none() => host = Some(value.to_string_lossy().into_owned()),
            Long("help") | Short('h') => return help(),
            other => return Err(usage(other.unexpected())),
        }
    }
    let host = host.ok_or_else(|| Error::new("which router?").next(format!("weir {word} qemu")))?;
    apply::decide(&apply::Target { host, state }, word)?;
    Ok(ExitCode::SUCCESS)
}

fn run_machine(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut order = run::Order {
        image: "target/appliance".into(),
        state: "target/run".into(),
        dns_port: 5300,
        web_port: 8080,
        memory_mib: 256,
        board: Board::Virtio,
        firmware: Firmware::Kernel,
        bus: None,
        append: None,
    };
    while let Some(argument) = arguments.next().map_err(usage)? {
        match argument {
            Long("image") => order.image = path(&mut arguments)?,
            Long("state") => order.state = path(&mut arguments)?,
            Long("dns-port") => order.dns_port = arguments.value().and_then(|value| value.parse()).map_err(usage)?,
            Long("web-port") => order.web_port = arguments.value().and_then(|value| value.parse()).map_err(usage)?,
            Long("memory") => order.memory_mib = arguments.value().and_then(|value| value.parse()).map_err(usage)?,
            Long("append") => order.append = Some(arguments.value().and_then(ValueExt::string).map_err(usage)?),
            Long("machine") => order.board = arguments.value().and_then(|value| value.parse()).map_err(usage)?,
            Long("firmware") => order.firmware = arguments.value().and_then(|value| value.parse()).map_err(usage)?,
            Long("disk-bus") => order.bus = Some(arguments.value().and_then(|value| value.parse()).map_err(usage)?),
            Long("help") | Short('h') => return help(),
            other => return Err(usage(other.unexpected())),
        }
    }
    let status = run::run(&order)?;
    if status.success() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Error::new(format!("QEMU ended with {status}")))
}

fn write_disk(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let (mut disk, mut image, mut erase, mut yes) = (None, PathBuf::from("target/appliance/disk.img"), false, false);
    while let Some(argument) = arguments.next().map_err(usage)? {
        match argument {
            Long("image") => image = path(&mut arguments)?,
            Long("erase") => erase = true,
            Long("yes") => yes = true,
            Value(value) if disk.is_none() => disk = Some(PathBuf::from(value)),
            Long("help") | Short('h') => return help(),
            other => return Err(usage(other.unexpected())),
        }
    }
    let disk = disk.ok_or_else(|| Error::new("which disk?").next("lsblk lists them; then: weir write /dev/sdX"))?;
    write::write(&write::Order { disk, image, erase, yes })?;
    Ok(ExitCode::SUCCESS)
}

fn epoch() -> Result<u32> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) if !text.is_empty() => {
            text.parse().cannot(|| format!("use SOURCE_DATE_EPOCH={text} as seconds since 1970"))
        }
        _ => Ok(0),
    }
}

fn path(arguments: &mut lexopt::Parser) -> Result<PathBuf> {
    Ok(arguments.value().map_err(usage)?.into())
}

fn help() -> Result<ExitCode> {
    print!("{HELP}");
    Ok(ExitCode::SUCCESS)
}

fn usage(error: lexopt::Error) -> Error {
    Error::new(error.to_string()).next("weir --help shows what can be said")
}
