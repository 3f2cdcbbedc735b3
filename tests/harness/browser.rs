//! A browser: Chromium without a screen, driven through WebDriver. Tests share one, one after the other, as long as any of
//! them runs; each finds it without cookies and with one empty window.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use fantoccini::error::CmdError;
use fantoccini::wd::WindowHandle;
use fantoccini::{ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::client::Client;
use super::eventually;
use super::postern::Postern;
use super::process::{Process, postern};

/// A browser that this test has for itself.
pub(crate) struct Browser {
    _held: MutexGuard<'static, ()>,
    shared: Arc<Shared>,
    origin: String,
}

/// Who has signed in: what the browser proves it with.
pub(crate) struct Person(String);

struct Shared {
    runtime: Runtime,
    client: fantoccini::Client,
    /// Where commands of the browser's own protocol go.
    driver_address: SocketAddr,
    commands: String,
    _driver: Process,
    profile: TempDir,
}

static ONE_TEST: Mutex<()> = Mutex::new(());
static RUNNING: Mutex<Weak<Shared>> = Mutex::new(Weak::new());

impl Browser {
    /// Returns the browser, which is to visit the console of a Postern.
    pub(crate) fn of(postern: &Postern) -> Self {
        // Whoever waits for its turn keeps the browser running.
        let shared = Shared::running();
        let held = ONE_TEST.lock().unwrap_or_else(PoisonError::into_inner);
        let browser = Self {
            _held: held,
            shared,
            origin: postern.console_url(),
        };
        browser.start_afresh();
        browser
    }

    fn start_afresh(&self) {
        let windows = self.wait(self.shared.client.windows());
        for window in windows.iter().skip(1) {
            self.look_at(window.clone());
            self.wait(self.shared.client.close_window());
        }
        self.look_at(windows[0].clone());
        self.goto_url("about:blank");
        self.command("Network.clearBrowserCookies", json!({}));
        self.command("Emulation.setScriptExecutionDisabled", json!({"value": false}));
        self.command("Emulation.setTimezoneOverride", json!({"timezoneId": ""}));
        self.resize(1280, 900);
        self.command("Emulation.setEmulatedMedia", json!({"features": []}));
    }

    /// Goes to a path of the console.
    pub(crate) fn goto(&self, path: &str) {
        self.goto_url(&format!("{}{path}", self.origin));
    }

    pub(crate) fn goto_url(&self, url: &str) {
        self.wait(self.shared.client.goto(url));
    }

    /// Signs a member in, by the link that the server's terminal prints; without an address, the administrator on the spot.
    pub(crate) fn sign_in(&self, postern: &Postern, email: Option<&str>) -> Person {
        self.goto_url(&sign_in_link(postern, email));
        self.press("Sign in");
        self.person()
    }

    /// Returns who has signed in.
    pub(crate) fn person(&self) -> Person {
        let cookies = self.command("Network.getCookies", json!({"urls": [self.origin]}));
        let cookies = cookies["cookies"].as_array().expect("a list");
        let found = cookies.iter().find(|cookie| cookie["name"] == COOKIE);
        let value = found.and_then(|cookie| cookie["value"].as_str());
        Person(value.expect("somebody has signed in").to_owned())
    }

    /// Is another person from the next request on.
    pub(crate) fn become_person(&self, person: &Person) {
        let set = self.command(
            "Network.setCookie",
            json!({"url": self.origin, "name": COOKIE, "value": person.0, "path": "/", "secure": true, "httpOnly": true,
                   "sameSite": "Strict"}),
        );
        assert_eq!(set["success"], true);
    }

    /// Is nobody from the next request on.
    pub(crate) fn forget_person(&self) {
        self.command("Network.clearBrowserCookies", json!({}));
    }

    /// Returns the path and query of the page.
    pub(crate) fn path(&self) -> String {
        let url = self.wait(self.shared.client.current_url());
        let url = url.as_str();
        url.strip_prefix(&self.origin).unwrap_or(url).to_owned()
    }

    /// Returns what can be read on the page.
    pub(crate) fn text(&self) -> String {
        self.text_of("body")
    }

    /// Returns what can be read in an element.
    #[track_caller]
    pub(crate) fn text_of(&self, css: &str) -> String {
        let element = self.wait(self.shared.client.find(Locator::Css(css)));
        self.wait(element.text())
    }

    /// Returns how many elements there are.
    pub(crate) fn count(&self, css: &str) -> usize {
        self.wait(self.shared.client.find_all(Locator::Css(css))).len()
    }

    /// Returns the page as it is now.
    pub(crate) fn source(&self) -> String {
        self.wait(self.shared.client.source())
    }

    /// Returns whether a text can be read on a page that may be asked for again just now.
    pub(crate) fn reads(&self, text: &str) -> bool {
        let page = self.try_wait(self.shared.client.execute("return document.body.innerText", Vec::new()));
        page.is_ok_and(|page| page.as_str().is_some_and(|page| page.contains(text)))
    }

    /// Checks that a text can be read on the page.
    #[track_caller]
    pub(crate) fn assert_reads(&self, text: &str) {
        let page = self.text();
        assert!(page.contains(text), "no {text:?} on {}:\n{page}", self.path());
    }

    /// Checks that a text cannot be read on the page.
    #[track_caller]
    pub(crate) fn assert_does_not_read(&self, text: &str) {
        let page = self.text();
        assert!(!page.contains(text), "{text:?} on {}:\n{page}", self.path());
    }

    /// Clicks the button or the link with a name, and waits for the page that it leads to.
    #[track_caller]
    pub(crate) fn press(&self, name: &str) {
        let before = self.document();
        self.press_where_scripts_do_not_run(name);
        eventually("the next page", || {
            self.document().filter(|document| Some(document) != before.as_ref())
        });
    }

    /// The same without waiting, which takes a script.
    #[track_caller]
    pub(crate) fn press_where_scripts_do_not_run(&self, name: &str) {
        let path = format!("//*[(self::a or self::button) and normalize-space(.)={}]", quoted(name));
        self.click_at(Locator::XPath(&path), name);
    }

    /// Returns what tells a whole page from the one that was there before.
    fn document(&self) -> Option<Value> {
        let script = "return document.readyState === 'complete' ? performance.timeOrigin : null";
        let document = self.try_wait(self.shared.client.execute(script, Vec::new())).ok()?;
        (!document.is_null()).then_some(document)
    }

    /// Clicks an element.
    #[track_caller]
    pub(crate) fn click(&self, css: &str) {
        self.click_at(Locator::Css(css), css);
    }

    #[track_caller]
    fn click_at(&self, locator: Locator<'_>, what: &str) {
        // A page may be asked for again just now.
        eventually(what, || {
            let element = self.try_wait(self.shared.client.find(locator)).ok()?;
            self.try_wait(element.click()).ok()
        });
    }

    /// Types into the field with a label, in the place of what is there.
    #[track_caller]
    pub(crate) fn fill(&self, label: &str, text: &str) {
        let element = self.labelled(label);
        self.wait(element.clear());
        self.wait(element.send_keys(text));
    }

    /// Puts a text that no keyboard has into a field.
    #[track_caller]
    pub(crate) fn put(&self, css: &str, text: &str) {
        let script = "const field = document.querySelector(arguments[0]); field.value = arguments[1]";
        self.run(script, vec![css.into(), text.into()]);
    }

    /// Chooses a file.
    #[track_caller]
    pub(crate) fn attach(&self, css: &str, file: &Path) {
        let element = self.wait(self.shared.client.find(Locator::Css(css)));
        self.wait(element.send_keys(file.to_str().expect("a path in UTF-8")));
    }

    /// Returns what the field with a label holds.
    #[track_caller]
    pub(crate) fn value(&self, label: &str) -> String {
        let element = self.labelled(label);
        self.wait(element.prop("value")).unwrap_or_default()
    }

    /// Chooses what has a label.
    #[track_caller]
    pub(crate) fn choose(&self, label: &str) {
        self.wait(self.labelled(label).click());
    }

    #[track_caller]
    fn labelled(&self, label: &str) -> fantoccini::elements::Element {
        let label = quoted(label);
        let path = format!(
            "//*[@id=//label[starts-with(normalize-space(.),{label})]/@for] \
             | //label[starts-with(normalize-space(.),{label})]//*[self::input or self::select or self::textarea]"
        );
        let found = self.try_wait(self.shared.client.find(Locator::XPath(&path)));
        found.unwrap_or_else(|error| panic!("no field {label} on {}: {error}\n{}", self.path(), self.text()))
    }

    /// Chooses in a list that drops down.
    #[track_caller]
    pub(crate) fn pick(&self, css: &str, text: &str) {
        let option = format!("//option[starts-with(normalize-space(.),{})]", quoted(text));
        let list = self.wait(self.shared.client.find(Locator::Css(css)));
        let option = self.wait(list.find(Locator::XPath(&format!(".{option}"))));
        self.wait(option.click());
    }

    /// Presses the tab key, as somebody without a mouse does; returns the name of what they are at then.
    pub(crate) fn tab(&self) -> String {
        self.key("\u{e004}");
        let script = "const at = document.activeElement; return (at.labels?.[0]?.textContent ?? at.textContent).trim()";
        self.run(script, Vec::new()).as_str().unwrap_or_default().to_owned()
    }

    /// Presses the enter key.
    pub(crate) fn enter(&self) {
        self.key("\u{e007}");
    }

    /// Presses the space bar.
    pub(crate) fn space(&self) {
        self.key(" ");
    }

    fn key(&self, key: &str) {
        let element = self.wait(self.shared.client.active_element());
        self.wait(element.send_keys(key));
    }

    /// Goes back, as with the browser's button.
    pub(crate) fn back(&self) {
        // Where the page before was the answer to a form, there is an error in its place.
        drop(self.try_wait(self.shared.client.back()));
    }

    /// Opens another tab and looks at it; returns the one before.
    pub(crate) fn open_tab(&self) -> WindowHandle {
        let before = self.wait(self.shared.client.window());
        let opened = self.wait(self.shared.client.new_window(true));
        self.look_at(opened.handle);
        before
    }

    /// Looks at a tab.
    pub(crate) fn look_at(&self, window: WindowHandle) {
        self.wait(self.shared.client.switch_to_window(window));
    }

    /// Runs a function's body in the page; returns what it returns.
    #[track_caller]
    pub(crate) fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.wait(self.shared.client.execute(script, arguments))
    }

    /// Runs a function's body whose last argument is to be called with a result.
    #[track_caller]
    pub(crate) fn run_until_called(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.wait(self.shared.client.execute_async(script, arguments))
    }

    /// Gives the page a size, in pixels.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.command("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Prefers dark pages, or light ones.
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.command("Emulation.setEmulatedMedia", features);
    }

    /// Gives the browser a command of its own protocol.
    #[track_caller]
    pub(crate) fn command(&self, name: &str, parameters: Value) -> Value {
        let driver = Client {
            address: self.shared.driver_address,
            token: None,
        };
        let answer = driver.post(&self.shared.commands, json!({"cmd": name, "params": parameters}));
        answer.ok(200)["value"].take()
    }

    /// Returns the directory in which the browser keeps what it keeps.
    pub(crate) fn profile(&self) -> &Path {
        self.shared.profile.path()
    }

    #[track_caller]
    fn wait<T>(&self, asked: impl Future<Output = Result<T, CmdError>>) -> T {
        self.try_wait(asked)
            .unwrap_or_else(|error| panic!("the browser: {error}"))
    }

    fn try_wait<T>(&self, asked: impl Future<Output = Result<T, CmdError>>) -> Result<T, CmdError> {
        self.shared.runtime.block_on(asked)
    }
}

impl Person {
    /// Returns what the browser sends.
    pub(crate) fn cookie(&self) -> String {
        format!("{COOKIE}={}", self.0)
    }
}

impl Shared {
    /// Returns the browser that runs, or starts one.
    fn running() -> Arc<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = running.upgrade() {
            return shared;
        }
        let shared = Arc::new(Self::start());
        *running = Arc::downgrade(&shared);
        shared
    }

    fn start() -> Self {
        let (driver, port) = eventually("a driver that listens", driver);
        let profile = tempfile::tempdir().expect("a directory");
        // In containers, tests are run as root, for whom Chromium has no sandbox, and with little shared memory.
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--lang=en-GB",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let Value::Object(wanted) = json!({"goog:chromeOptions": {"args": arguments}}) else {
            unreachable!("it is written as an object")
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let url = format!("http://127.0.0.1:{port}");
        let client = runtime.block_on(async {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(wanted).connect(&url).await
        });
        let client = client.expect("the package chromium is installed");
        let session = runtime.block_on(client.session_id()).expect("it has a session");
        Self {
            commands: format!("/session/{}/goog/cdp/execute", session.expect("it has a session")),
            driver_address: SocketAddr::from(([127, 0, 0, 1], port)),
            runtime,
            client,
            _driver: driver,
            profile,
        }
    }
}

/// Starts a driver. The port that it chooses may be taken for IPv4, as it looks at IPv6 first; then it ends.
fn driver() -> Option<(Process, u16)> {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0");
    let driver = Process::spawn(command);
    let port: Option<u16> = driver.stdout.line("where the driver listens", |line| {
        if line.contains("port not available") {
            return Some(None);
        }
        let (_, port) = line.split_once("started successfully on port ")?;
        Some(port.trim_end_matches('.').parse().ok())
    });
    port.map(|port| (driver, port))
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The driver, when it is killed, leaves its browser running.
        drop(self.runtime.block_on(self.client.clone().close()));
    }
}

/// Returns a link that signs somebody in, as the server's terminal prints it.
pub(crate) fn sign_in_link(server: &Postern, email: Option<&str>) -> String {
    let url = server.console_url().replace("localhost", "127.0.0.1");
    let mut command = postern(["console", "open", "--url", &url, "--data"]);
    command.arg(server.data()).args(email);
    let ended = Process::spawn(command).ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout.trim().to_owned()
}

/// Returns a text as a string of XPath, which has no escapes.
fn quoted(text: &str) -> String {
    assert!(!text.contains('"'), "{text}");
    format!("\"{text}\"")
}

const COOKIE: &str = "__Host-postern";
