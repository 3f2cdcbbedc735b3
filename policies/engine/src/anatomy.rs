//! What a component is made of, as it stands in the file: read before anything of it is compiled.

use wasmparser::{ComponentExternName, ComponentImport, Encoding, Instance, Parser, Payload};

use crate::{LoadError, wasi};

/// Sizes and counts of a component, with all modules and components within it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Anatomy {
    pub(crate) functions: usize,
    /// Code of the largest function, in bytes.
    pub(crate) function_bytes_max: usize,
    pub(crate) memories: u32,
    /// What the memories begin with, together, in bytes.
    pub(crate) memory_bytes: u64,
    pub(crate) tables: u32,
    /// What the largest table begins with.
    pub(crate) table_elements_max: u64,
    pub(crate) core_instances: u32,
    pub(crate) imports_wasi: bool,
}

impl Anatomy {
    /// # Errors
    /// When the bytes are not a component, or cannot be read to their end.
    pub(crate) fn of(component: &[u8]) -> Result<Self, LoadError> {
        let unreadable = |error: wasmparser::BinaryReaderError| LoadError::NotCompiled(error.into());
        let mut payloads = Parser::new(0).parse_all(component);
        match payloads.next() {
            Some(Ok(Payload::Version {
                encoding: Encoding::Component,
                ..
            })) => {}
            Some(_) | None => return Err(LoadError::NotAComponent),
        }
        let mut anatomy = Self::default();
        for payload in payloads {
            anatomy.add(payload.map_err(unreadable)?).map_err(unreadable)?;
        }
        Ok(anatomy)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "wasmparser's enum is open, and the other sections count for nothing here"
    )]
    fn add(&mut self, payload: Payload<'_>) -> Result<(), wasmparser::BinaryReaderError> {
        match payload {
            Payload::CodeSectionEntry(body) => {
                self.functions += 1;
                self.function_bytes_max = self.function_bytes_max.max(body.range().len());
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory?;
                    let page_bytes = 1_u64 << memory.page_size_log2.unwrap_or(16).min(16);
                    self.memories += 1;
                    self.memory_bytes = self
                        .memory_bytes
                        .saturating_add(memory.initial.saturating_mul(page_bytes));
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    self.tables += 1;
                    self.table_elements_max = self.table_elements_max.max(table?.ty.initial);
                }
            }
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    self.core_instances += u32::from(matches!(instance?, Instance::Instantiate { .. }));
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    let ComponentImport {
                        name: ComponentExternName { name, .. },
                        ..
                    } = import?;
                    self.imports_wasi |= wasi::is_stubbed(name);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
