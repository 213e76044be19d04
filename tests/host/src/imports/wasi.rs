//! The twelve WASI functions of Envoy. A module that imports others does not load in Envoy.

use wasmtime::Linker;

use super::{Guest, answer, parts, read, write};
use crate::abi::{LogLevel, Status};
use crate::calls::Call;
use crate::state::State;

pub(super) const CALLS: &[Call] = &[
    Call::FdWrite,
    Call::FdRead,
    Call::FdSeek,
    Call::FdClose,
    Call::FdFdstatGet,
    Call::EnvironGet,
    Call::EnvironSizesGet,
    Call::ArgsGet,
    Call::ArgsSizesGet,
    Call::ProcExit,
    Call::ClockTimeGet,
    Call::RandomGet,
];

const SPACE: &str = "wasi_snapshot_preview1";

// errno values, passed as a `Status`, which is a number as well.
const BAD_FD: Status = Status(8);
const FAULT: Status = Status(21);
const NO_SYS: Status = Status(52);
const NOT_SUPPORTED: Status = Status(58);

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    link_files(linker)?;
    link_process(linker)
}

fn link_files(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        SPACE,
        Call::FdWrite.name(),
        |mut guest: Guest<'_>, fd: u32, vectors: u32, count: u32, return_written: u32| {
            answer(&mut guest, Call::FdWrite, |guest| {
                let level = match fd {
                    1 => LogLevel::Info,
                    2 => LogLevel::Error,
                    _ => return Err(BAD_FD.into()),
                };
                let (memory, state) = parts(guest);
                let mut text = Vec::new();
                for vector in 0..count {
                    let vector = vectors + vector * 8;
                    let pointer = word(memory, vector)?;
                    let length = word(memory, vector + 4)?;
                    text.extend_from_slice(read(memory, pointer, length).map_err(|_| FAULT)?);
                }
                if !text.is_empty() {
                    state.log(level, text.strip_suffix(b"\n").unwrap_or(&text));
                }
                put(memory, return_written, text.len() as u32)
            })
        },
    )?;
    linker.func_wrap(
        SPACE,
        Call::FdRead.name(),
        |mut guest: Guest<'_>, _: u32, _: u32, _: u32, _: u32| {
            answer(&mut guest, Call::FdRead, |_| Err(NO_SYS.into()))
        },
    )?;
    linker.func_wrap(
        SPACE,
        Call::FdSeek.name(),
        |mut guest: Guest<'_>, _: u32, _: i64, _: u32, _: u32| {
            answer(&mut guest, Call::FdSeek, |_| Ok(()))
        },
    )?;
    linker.func_wrap(
        SPACE,
        Call::FdClose.name(),
        |mut guest: Guest<'_>, _: u32| answer(&mut guest, Call::FdClose, |_| Ok(())),
    )?;
    linker.func_wrap(
        SPACE,
        Call::FdFdstatGet.name(),
        |mut guest: Guest<'_>, fd: u32, return_stat: u32| {
            answer(&mut guest, Call::FdFdstatGet, |guest| {
                if fd != 1 && fd != 2 {
                    return Err(BAD_FD.into());
                }
                // All zero except the right to write.
                let mut stat = [0; 24];
                stat[8] = 64;
                let (memory, _) = parts(guest);
                write(memory, return_stat, &stat).map_err(|_| FAULT)?;
                Ok(())
            })
        },
    )?;
    Ok(())
}

fn link_process(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        SPACE,
        Call::EnvironGet.name(),
        |mut guest: Guest<'_>, pointers: u32, buffer: u32| {
            answer(&mut guest, Call::EnvironGet, |guest| {
                let (memory, state) = parts(guest);
                let mut at = buffer;
                for (nth, (name, value)) in state.environment.iter().enumerate() {
                    put(memory, pointers + 4 * nth as u32, at)?;
                    let entry = format!("{name}={value}\0");
                    write(memory, at, entry.as_bytes()).map_err(|_| FAULT)?;
                    at += entry.len() as u32;
                }
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        SPACE,
        Call::EnvironSizesGet.name(),
        |mut guest: Guest<'_>, return_count: u32, return_size: u32| {
            answer(&mut guest, Call::EnvironSizesGet, |guest| {
                let (memory, state) = parts(guest);
                let entries = state.environment.iter();
                let size: usize = entries
                    .map(|(name, value)| name.len() + value.len() + 2)
                    .sum();
                put(memory, return_count, state.environment.len() as u32)?;
                put(memory, return_size, size as u32)
            })
        },
    )?;
    linker.func_wrap(
        SPACE,
        Call::ArgsGet.name(),
        |mut guest: Guest<'_>, _: u32, _: u32| answer(&mut guest, Call::ArgsGet, |_| Ok(())),
    )?;
    linker.func_wrap(
        SPACE,
        Call::ArgsSizesGet.name(),
        |mut guest: Guest<'_>, return_count: u32, return_size: u32| {
            answer(&mut guest, Call::ArgsSizesGet, |guest| {
                let (memory, _) = parts(guest);
                put(memory, return_count, 0)?;
                put(memory, return_size, 0)
            })
        },
    )?;
    linker.func_wrap(
        SPACE,
        Call::ProcExit.name(),
        |mut guest: Guest<'_>, _: u32| -> wasmtime::Result<()> {
            // Envoy returns from it; an unreachable instruction of Rust behind it then traps.
            answer(&mut guest, Call::ProcExit, |_| Ok(())).map(drop)
        },
    )?;
    linker.func_wrap(
        SPACE,
        Call::ClockTimeGet.name(),
        |mut guest: Guest<'_>, clock: u32, _: u64, return_time: u32| {
            answer(&mut guest, Call::ClockTimeGet, |guest| {
                let (memory, state) = parts(guest);
                let time = match clock {
                    0 => state.process.clock().realtime(),
                    1 => state.process.clock().monotonic(),
                    _ => return Err(NOT_SUPPORTED.into()),
                };
                write(memory, return_time, &time.to_le_bytes()).map_err(|_| FAULT)?;
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        SPACE,
        Call::RandomGet.name(),
        |mut guest: Guest<'_>, buffer: u32, length: u32| {
            answer(&mut guest, Call::RandomGet, |guest| {
                let (memory, state) = parts(guest);
                let start = buffer as usize;
                let target = memory.get_mut(start..start + length as usize);
                for chunk in target.ok_or(FAULT)?.chunks_mut(8) {
                    chunk.copy_from_slice(&state.random().to_le_bytes()[..chunk.len()]);
                }
                Ok(())
            })
        },
    )?;
    Ok(())
}

fn word(memory: &[u8], pointer: u32) -> Result<u32, Status> {
    let bytes = read(memory, pointer, 4).map_err(|_| FAULT)?;
    let bytes = bytes.try_into().map_err(|_| FAULT)?;
    Ok(u32::from_le_bytes(bytes))
}

fn put(memory: &mut [u8], pointer: u32, value: u32) -> super::Answer {
    write(memory, pointer, &value.to_le_bytes()).map_err(|_| FAULT)?;
    Ok(())
}
