//! A role that looks about in WASI, and allows only if there is nothing to be seen.

#![no_std]

extern crate alloc;

use postern_policy::{Request, Role, RoleVerdict, Scope};

mod wasi {
    wit_bindgen::generate!({
        inline: r#"
            package postern:looks-about;
            world looks-about {
                import wasi:clocks/wall-clock@0.2.3;
                import wasi:cli/environment@0.2.3;
                import wasi:cli/stdout@0.2.3;
                import wasi:random/random@0.2.3;
                import wasi:filesystem/preopens@0.2.3;
            }
            package wasi:clocks@0.2.3 {
                interface wall-clock {
                    record datetime { seconds: u64, nanoseconds: u32 }
                    now: func() -> datetime;
                }
            }
            package wasi:random@0.2.3 {
                interface random {
                    get-random-bytes: func(len: u64) -> list<u8>;
                    get-random-u64: func() -> u64;
                }
            }
            package wasi:io@0.2.3 {
                interface error { resource error; }
                interface streams {
                    use error.{error};
                    variant stream-error { last-operation-failed(error), closed }
                    resource output-stream {
                        check-write: func() -> result<u64, stream-error>;
                        write: func(contents: list<u8>) -> result<_, stream-error>;
                        blocking-flush: func() -> result<_, stream-error>;
                    }
                }
            }
            package wasi:cli@0.2.3 {
                interface environment {
                    get-environment: func() -> list<tuple<string, string>>;
                    get-arguments: func() -> list<string>;
                    initial-cwd: func() -> option<string>;
                }
                interface stdout {
                    use wasi:io/streams@0.2.3.{output-stream};
                    get-stdout: func() -> output-stream;
                }
            }
            package wasi:filesystem@0.2.3 {
                interface types { resource descriptor { sync: func() -> result<_, u8>; } }
                interface preopens {
                    use types.{descriptor};
                    get-directories: func() -> list<tuple<descriptor, string>>;
                }
            }
        "#,
        generate_all,
    });
}

use wasi::wasi::cli::{environment, stdout};
use wasi::wasi::clocks::wall_clock;
use wasi::wasi::filesystem::preopens;
use wasi::wasi::random::random;

struct ImportsWasi;

impl Role for ImportsWasi {
    const NAME: &str = "hostile";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(_: &Request) -> RoleVerdict {
        let output = stdout::get_stdout();
        let room = output.check_write().unwrap_or(0);
        let written = room > 0 && output.write(&[b'x'; 4000]).is_ok() && output.blocking_flush().is_ok();
        let now = wall_clock::now();
        let sees_nothing = now.seconds == 0
            && now.nanoseconds == 0
            && environment::get_environment().is_empty()
            && environment::get_arguments().is_empty()
            && environment::initial_cwd().is_none()
            && preopens::get_directories().is_empty();
        let bytes = random::get_random_bytes(5);
        let is_fixed = bytes.len() == 5
            && bytes.iter().all(|byte| *byte == bytes[0])
            && random::get_random_u64() == random::get_random_u64();
        RoleVerdict::allow_if(written && sees_nothing && is_fixed)
    }
}

postern_policy::role!(ImportsWasi);
