//! Several services at once, with somebody in PID 1's place: their notices are read and their readers told, by the table.
use super::{Child, Namespace, Root};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::{Arc, Mutex};

type Pids = Arc<Mutex<HashMap<&'static str, u32>>>;

/// Services in one namespace under one root.
pub struct Family {
    children: HashMap<&'static str, Child>,
    pids: Pids,
    notices: String,
}

impl Family {
    /// Nobody yet.
    pub fn new(root: &Root) -> Family {
        let notices = root.path("/run/notices").to_str().unwrap().to_owned();
        let made = std::process::Command::new("mkfifo").arg(&notices).status().unwrap();
        assert!(made.success(), "mkfifo");
        let pids = Pids::default();
        // Open for writing as well: it has no end while the test lives.
        let lines = BufReader::new(File::options().read(true).write(true).open(&notices).unwrap());
        let known = Arc::clone(&pids);
        std::thread::spawn(move || {
            for path in lines.lines().map_while(Result::ok) {
                for reader in rights::readers(&path) {
                    let pid = known.lock().unwrap().get(reader.name).copied();
                    if let Some(pid) = pid {
                        let _ = std::process::Command::new("kill").args(["-s", "USR1", &pid.to_string()]).status();
                    }
                }
            }
        });
        Family { children: HashMap::new(), pids, notices }
    }

    /// Starts a service, or starts it again, and waits until it is ready.
    pub fn start(&mut self, router: &Namespace, root: &Root, name: &str) {
        let name = rights::service(name).unwrap().name;
        self.stop(name);
        let script = format!(
            "exec 3>{}; exec {} {name} --root {}",
            self.notices,
            env!("CARGO_BIN_EXE_services"),
            root.0.display()
        );
        let child = router.spawn("env", &["WEIR_NOTIFY_FD=3", "sh", "-c", &script]).named(name);
        // SIGUSR1 kills a process that has not blocked it yet; PID 1 blocks it before exec.
        let status = format!("/proc/{}/status", child.id());
        let blocked = || {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let mask = text.lines().find_map(|line| line.strip_prefix("SigBlk:")).map(|mask| mask.trim().to_owned());
            mask.and_then(|mask| u64::from_str_radix(&mask, 16).ok()).is_some_and(|mask| mask & (1 << 9) != 0)
        };
        let deadline = std::time::Instant::now() + super::PATIENCE;
        while !blocked() {
            assert!(std::time::Instant::now() < deadline, "{name} does not block SIGUSR1");
            std::thread::yield_now();
        }
        self.pids.lock().unwrap().insert(name, child.id());
        self.children.insert(name, child);
    }

    /// SIGKILL, if it runs.
    pub fn stop(&mut self, name: &str) {
        self.pids.lock().unwrap().remove(name);
        self.children.remove(name);
    }

    /// A service, for its lines.
    pub fn of(&mut self, name: &str) -> &mut Child {
        self.children.get_mut(name).unwrap_or_else(|| panic!("{name} does not run"))
    }
}
