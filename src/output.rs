//! Printing for people, where whoever reads may have gone: `postern policy test | head`.
//!
//! The library's macros of these names panic then. These end the process without a word, as a shell's other tools end. They
//! stand before the library's in every module that is declared after this one.

use std::fmt::Arguments;
use std::io::{self, Write};

use crate::exit::{INPUT_OUTPUT, READER_GONE};

/// Writes to standard output.
pub(crate) fn out(text: Arguments<'_>) {
    let Err(error) = io::stdout().lock().write_fmt(text) else {
        return;
    };
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(i32::from(READER_GONE));
    }
    err(format_args!("postern: print: {error}\n"));
    std::process::exit(i32::from(INPUT_OUTPUT));
}

/// Writes to standard error.
pub(crate) fn err(text: Arguments<'_>) {
    // Nothing is left to tell it by when this fails for another reason.
    drop(io::stderr().lock().write_fmt(text));
}

macro_rules! print {
    ($($text:tt)*) => { $crate::output::out(format_args!($($text)*)) };
}

macro_rules! println {
    ($($text:tt)*) => { $crate::output::out(format_args!("{}\n", format_args!($($text)*))) };
}

macro_rules! eprintln {
    ($($text:tt)*) => { $crate::output::err(format_args!("{}\n", format_args!($($text)*))) };
}
