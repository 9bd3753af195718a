//! A real browser on the LAN: Debian's Chromium without a window, driven by WebDriver (W3C), which is plain HTTP.
use crate::child::{Child, PATIENCE};
use crate::namespace::Namespace;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

const PORT: u16 = 9515;

/// The browser, closed with the value.
pub struct Browser<'a> {
    lan: &'a Namespace,
    session: String,
    _driver: Child,
}

/// How wide the window is, and how it is lit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// A phone; else a desktop.
    pub phone: bool,
    /// Dark; else light.
    pub dark: bool,
}

impl Look {
    /// All four.
    pub fn all() -> [Look; 4] {
        [(false, false), (false, true), (true, false), (true, true)].map(|(phone, dark)| Look { phone, dark })
    }

    /// For the name of a file.
    pub fn name(self) -> String {
        let (width, light) = (if self.phone { "phone" } else { "desktop" }, if self.dark { "dark" } else { "light" });
        format!("{width}-{light}")
    }
}

impl<'a> Browser<'a> {
    /// Opens one in a namespace; what it keeps lies in `folder`.
    pub fn open(lan: &'a Namespace, folder: &Path) -> Browser<'a> {
        let mut driver = lan.spawn("chromedriver", &[&format!("--port={PORT}"), "--allowed-origins=*"]);
        driver.wait_for("was started successfully");
        let profile = format!("--user-data-dir={}", folder.join("chromium").display());
        let arguments = [
            "--headless=new",
            // The tests are root, for whom it has no sandbox.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--hide-scrollbars",
            &profile,
        ];
        let options = json!({"binary": "/usr/bin/chromium", "args": arguments});
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "acceptInsecureCerts": true, "goog:chromeOptions": options,
            "timeouts": {"script": 10_000, "pageLoad": 120_000}}}});
        let mut browser = Browser { lan, session: String::new(), _driver: driver };
        let begun = browser.ask("POST", "/session", &wanted).expect("a browser");
        browser.session = begun["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    /// One command of WebDriver.
    fn ask(&self, method: &'static str, path: &str, body: &Value) -> Result<Value, String> {
        let stream = self.lan.run(|| TcpStream::connect(("127.0.0.1", PORT))).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
        let text = if method == "POST" { body.to_string() } else { String::new() };
        let length = text.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:{PORT}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        let talk = || -> std::io::Result<Vec<u8>> {
            (&stream).write_all((head + &text).as_bytes())?;
            let mut reader = BufReader::new(&stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let line = line.trim_end().to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or_default();
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut answer = vec![0; length];
            reader.read_exact(&mut answer)?;
            Ok(answer)
        };
        let answer = talk().map_err(|error| format!("chromedriver: {error}"))?;
        let mut answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", value["message"].as_str().unwrap_or_default())),
            None => Ok(value),
        }
    }

    fn command(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.ask("POST", &format!("/session/{}{path}", self.session), body)
    }

    /// A command of the DevTools protocol.
    pub fn tool(&self, name: &str, parameters: Value) -> Value {
        let body = json!({"cmd": name, "params": parameters});
        self.command("/goog/cdp/execute", &body).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Opens a page.
    pub fn go(&self, url: &str) {
        self.command("/url", &json!({"url": url})).unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// What a script returns.
    pub fn run(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.command("/execute/sync", &body).unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until an expression is true in the page, over loads of pages as well; gives its value.
    pub fn wait(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             const look = () => {{ let value; try {{ value = {expression}; }} catch {{ value = null; }}
               value ? done(value) : setTimeout(look, 50); }};
             look();"
        );
        let deadline = Instant::now() + PATIENCE * 2;
        loop {
            match self.command("/execute/async", &json!({"script": script, "args": []})) {
                Ok(value) => return value,
                Err(error) if Instant::now() >= deadline => {
                    let shown =
                        self.command("/execute/sync", &json!({"script": "return document.body.innerText", "args": []}));
                    panic!(
                        "never {expression}: {error}\nthe page:\n{}",
                        shown.unwrap_or_default().as_str().unwrap_or_default()
                    );
                }
                // It is not so yet; or the page was left while it was looked at, and its script with it.
                Err(_) => {}
            }
        }
    }

    /// Waits until the page has these words.
    pub fn wait_for(&self, words: &str) {
        self.wait(&format!("document.body.innerText.includes({})", json!(words)));
    }

    /// Clicks what a selector finds, as soon as it is there.
    pub fn click(&self, selector: &str) {
        let selector = json!(selector);
        self.wait(&format!("document.querySelector({selector}) && !document.querySelector({selector}).disabled"));
        self.run(&format!("document.querySelector({selector}).click()"));
    }

    /// Clicks the last button with these words.
    pub fn press(&self, words: &str) {
        let found = format!(
            "[...document.querySelectorAll('button, a')].filter(one => one.innerText.trim() === {} && !one.disabled).at(-1)",
            json!(words)
        );
        self.wait(&format!("!!{found}"));
        self.run(&format!("{found}.click()"));
    }

    /// Puts a text into a field, or chooses an option by it.
    pub fn fill(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.wait(&format!("!!document.querySelector({selector})"));
        self.run(&format!(
            "const field = document.querySelector({selector}); field.value = {text};
             for (const name of ['input', 'change']) field.dispatchEvent(new Event(name, {{bubbles: true}}));"
        ));
    }

    /// Chooses a file in a field for files, as a person does.
    pub fn choose(&self, selector: &str, path: &Path) {
        self.wait(&format!("!!document.querySelector({})", json!(selector)));
        let found = self.command("/element", &json!({"using": "css selector", "value": selector})).unwrap();
        let element = found.as_object().and_then(|found| found.values().next()?.as_str()).unwrap().to_owned();
        let body = json!({"text": path.to_str().unwrap()});
        self.command(&format!("/element/{element}/value"), &body).unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Puts what it downloads into a folder.
    pub fn keeps(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        self.tool(
            "Browser.setDownloadBehavior",
            json!({"behavior": "allow", "downloadPath": folder.to_str().unwrap()}),
        );
    }

    /// The download of this name, as soon as it is whole.
    pub fn kept(&self, path: &Path) {
        let deadline = Instant::now() + PATIENCE;
        while !path.exists() {
            assert!(Instant::now() < deadline, "{}: it was not downloaded", path.display());
            std::thread::yield_now();
        }
    }

    /// Says the password with every request, as who has typed it into the browser's own box.
    pub fn says(&self, authorization: &str) {
        self.tool("Network.enable", json!({}));
        self.tool("Network.setExtraHTTPHeaders", json!({"headers": {"Authorization": authorization}}));
    }

    /// Presses the tabulator key.
    pub fn tab(&self) {
        let key = json!({"type": "keyDown", "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9});
        self.tool("Input.dispatchKeyEvent", key);
    }

    /// Sets the window's width and light.
    pub fn look(&self, look: Look) {
        let (width, height) = if look.phone { (390, 844) } else { (1_280, 900) };
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": look.phone});
        self.tool("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if look.dark { "dark" } else { "light" };
        self.tool(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    /// A picture of the whole page, as PNG.
    pub fn picture(&self, path: &Path) {
        let taken = self.tool("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true}));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, decoded(taken["data"].as_str().unwrap())).unwrap();
    }
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        // The driver goes next and takes it along; asked, it leaves nothing behind.
        let _ = self.ask("DELETE", &format!("/session/{}", self.session), &Value::Null);
    }
}

/// Base64 (RFC 4648).
fn decoded(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u32> = text.bytes().filter_map(digit).map(u32::from).collect();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for four in digits.chunks(4) {
        let word = four.iter().fold(0, |word, digit| word << 6 | digit) << (6 * (4 - four.len()));
        bytes.extend_from_slice(&word.to_be_bytes()[1..four.len()]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_decoded() {
        for (text, bytes) in [("", ""), ("TQ==", "M"), ("TWE=", "Ma"), ("TWFu", "Man"), ("TWFuTQ==", "ManM")] {
            assert_eq!(super::decoded(text), bytes.as_bytes());
        }
    }
}
