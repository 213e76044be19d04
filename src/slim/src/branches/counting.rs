//! A module that counts which way its branches go.

use std::convert::Infallible;

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ExportKind, ExportSection, Function, GlobalSection,
    GlobalType, Instruction, Module, ValType,
};
use wasmparser::{ExportSectionReader, FunctionBody, GlobalSectionReader, Parser, Payload};

use super::{functions, is_branch};

/// The export that says whether to count: 0 in the beginning, and 1 to do so.
pub const COUNTS: &str = "counts";

/// The same module, with two exports more for each of its branches, in their order: `0` says how
/// often the first was not taken, `1` how often it was, `2` and `3` tell of the second.
///
/// # Errors
/// What is wrong with the module.
pub fn counting(wasm: &[u8]) -> Result<Vec<u8>, String> {
    let said = |error: &dyn std::fmt::Display| format!("no module to count in: {error}");
    let functions = functions(wasm).map_err(|error| said(&error))?;
    let branches: usize = functions
        .iter()
        .map(|function| function.branches.len())
        .sum();
    let mut counting = Counting {
        parameters: parameters(wasm).map_err(|error| said(&error))?.into_iter(),
        branches: u32::try_from(branches).unwrap_or(u32::MAX),
        first: 0,
        next: 0,
    };
    let mut module = Module::new();
    counting
        .parse_core_module(&mut module, Parser::new(0), wasm)
        .map_err(|error| said(&error))?;
    Ok(module.finish())
}

/// How many parameters each function has.
fn parameters(wasm: &[u8]) -> Result<Vec<u32>, wasmparser::BinaryReaderError> {
    let (mut types, mut functions) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::TypeSection(section) => {
                for function in section.into_iter_err_on_gc_types() {
                    types.push(u32::try_from(function?.params().len()).unwrap_or(u32::MAX));
                }
            }
            Payload::FunctionSection(section) => {
                for number in section {
                    let number = usize::try_from(number?).unwrap_or(usize::MAX);
                    functions.push(types.get(number).copied().unwrap_or_default());
                }
            }
            _ => {}
        }
    }
    Ok(functions)
}

struct Counting {
    /// Of the functions that are still to come.
    parameters: std::vec::IntoIter<u32>,
    branches: u32,
    /// The number of the first global that is added.
    first: u32,
    /// Of the next branch.
    next: u32,
}

impl Reencode for Counting {
    type Error = Infallible;

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: GlobalSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        self.first = section.count();
        utils::parse_global_section(self, globals, section)?;
        let kind = GlobalType {
            val_type: ValType::I64,
            mutable: true,
            shared: false,
        };
        for _ in 0..=2 * self.branches {
            globals.global(kind, &ConstExpr::i64_const(0));
        }
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_export_section(self, exports, section)?;
        exports.export(COUNTS, ExportKind::Global, self.first);
        for number in 0..2 * self.branches {
            let global = self.first + 1 + number;
            exports.export(&number.to_string(), ExportKind::Global, global);
        }
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), Error<Infallible>> {
        let mut locals = Vec::new();
        for local in body.get_locals_reader()? {
            let (count, kind) = local?;
            locals.push((count, self.val_type(kind)?));
        }
        let taken = self.parameters.next().unwrap_or_default();
        let taken = locals.iter().fold(taken, |sum, (count, _)| sum + count);
        locals.push((1, ValType::I32));
        let mut counted = Function::new(locals);
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            if is_branch(&operator) {
                let not_taken = self.first + 1 + 2 * self.next;
                self.next += 1;
                counted.instruction(&Instruction::LocalTee(taken));
                counted.instruction(&Instruction::If(BlockType::Empty));
                self.count(&mut counted, not_taken + 1);
                counted.instruction(&Instruction::Else);
                self.count(&mut counted, not_taken);
                counted.instruction(&Instruction::End);
                counted.instruction(&Instruction::LocalGet(taken));
            }
            counted.instruction(&self.instruction(operator)?);
        }
        code.function(&counted);
        Ok(())
    }
}

impl Counting {
    fn count(&self, function: &mut Function, global: u32) {
        function.instruction(&Instruction::GlobalGet(global));
        function.instruction(&Instruction::GlobalGet(self.first));
        function.instruction(&Instruction::I64Add);
        function.instruction(&Instruction::GlobalSet(global));
    }
}
