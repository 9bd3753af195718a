//! PID 1 of weir: alone in the initramfs, it mounts, starts the table of services, and from then on keeps them alive,
//! keeps their last words, carries their notices, and feeds the watchdog. It knows no protocol and no service by name.
//!
//! One thread, one epoll loop, nothing polled. (A second thread lives only while driver modules are being loaded, and after
//! ready while the disk is seen to, or while the kernel of a trial is loaded.)
mod boot;
mod clock;
mod cmdline;
mod console;
mod control;
mod disk;
mod helper;
mod kmsg;
mod lines;
mod machine;
mod notice;
mod rings;
mod shutdown;
mod start;
mod supervise;
mod sys;
mod trial;
mod watchdog;

fn main() {
    let begun = sys::tsc();
    sys::mark_start();
    if std::process::id() != 1 {
        eprintln!("init: this is PID 1 of weir and nothing else");
        std::process::exit(1);
    }
    // The kernel panics when PID 1 dies, and restarts the machine; its log must say why.
    std::panic::set_hook(Box::new(|panic| kmsg::write(&format!("<0>weir: {panic}").replace('\n', " "))));
    let why = match boot::boot() {
        Ok(booted) => match machine::Machine::new(booted, begun) {
            Ok(machine) => machine.run(),
            Err(error) => format!("the event loop: {error}"),
        },
        Err(why) => why,
    };
    console::Console::open().say(format_args!("CANNOT BOOT: {why}; restarting in 10 s"));
    kmsg::write(&format!("weir: cannot boot: {why}"));
    std::thread::sleep(std::time::Duration::from_secs(10));
    shutdown::restart()
}
