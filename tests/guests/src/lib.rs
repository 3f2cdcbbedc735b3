//! Nothing: the guests are the files beside this one, each built as an example, which makes each a component.

#![no_std]
