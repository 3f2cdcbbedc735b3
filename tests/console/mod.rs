//! What people do in a browser, with the console of a running Postern.
//!
//! # Layout
//! - [`story`]: from signing in to a token that works, and to its end.
//! - [`sessions`]: coming, going, and a session that ends while something is typed.
//! - [`forms`]: what is typed, what is wrong with it, and who was faster.
//! - [`roles`]: who is shown what.
//! - [`pages`]: what else there is to look at.
//! - [`hostile`]: names and descriptions that would be scripts; requests that come from elsewhere.
//! - [`manners`]: keyboard, narrow and wide, light and dark, assistive technology, ten thousand rows.

mod forms;
mod hostile;
mod manners;
mod pages;
mod roles;
mod sessions;
mod story;
