//! The host calls and their counts.

use std::collections::BTreeMap;

macro_rules! calls {
    ($($variant:ident $name:literal $bytes:literal)*) => {
        /// One function that a module can import.
        ///
        /// The discriminant is the index of its counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(usize)]
        pub enum Call {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
            /// An import that Envoy does not offer at all.
            Unknown,
        }

        impl Call {
            /// All calls.
            pub const ALL: &'static [Call] = &[$(Call::$variant,)* Call::Unknown];

            /// Its name among the module's imports.
            pub fn name(self) -> &'static str {
                match self {
                    $(Call::$variant => $name,)*
                    Call::Unknown => "(unknown)",
                }
            }

            /// Whether it returns bytes, for which the host allocates memory in the VM. Such a call
            /// costs about as much as five others.
            pub fn returns_bytes(self) -> bool {
                match self {
                    $(Call::$variant => $bytes,)*
                    Call::Unknown => false,
                }
            }
        }
    };
}

calls! {
    Log "proxy_log" false
    GetLogLevel "proxy_get_log_level" false
    GetCurrentTime "proxy_get_current_time_nanoseconds" false
    SetTickPeriod "proxy_set_tick_period_milliseconds" false
    SetEffectiveContext "proxy_set_effective_context" false
    Done "proxy_done" false
    GetStatus "proxy_get_status" true
    GetProperty "proxy_get_property" true
    SetProperty "proxy_set_property" false
    GetBufferBytes "proxy_get_buffer_bytes" true
    GetBufferStatus "proxy_get_buffer_status" false
    SetBufferBytes "proxy_set_buffer_bytes" false
    GetHeaderMapPairs "proxy_get_header_map_pairs" true
    SetHeaderMapPairs "proxy_set_header_map_pairs" false
    GetHeaderMapSize "proxy_get_header_map_size" false
    GetHeaderMapValue "proxy_get_header_map_value" true
    AddHeaderMapValue "proxy_add_header_map_value" false
    ReplaceHeaderMapValue "proxy_replace_header_map_value" false
    RemoveHeaderMapValue "proxy_remove_header_map_value" false
    GetSharedData "proxy_get_shared_data" true
    SetSharedData "proxy_set_shared_data" false
    RegisterSharedQueue "proxy_register_shared_queue" false
    ResolveSharedQueue "proxy_resolve_shared_queue" false
    EnqueueSharedQueue "proxy_enqueue_shared_queue" false
    DequeueSharedQueue "proxy_dequeue_shared_queue" true
    DefineMetric "proxy_define_metric" false
    IncrementMetric "proxy_increment_metric" false
    RecordMetric "proxy_record_metric" false
    GetMetric "proxy_get_metric" false
    ContinueStream "proxy_continue_stream" false
    CloseStream "proxy_close_stream" false
    SendLocalResponse "proxy_send_local_response" false
    HttpCall "proxy_http_call" false
    GrpcCall "proxy_grpc_call" false
    GrpcStream "proxy_grpc_stream" false
    GrpcSend "proxy_grpc_send" false
    GrpcCancel "proxy_grpc_cancel" false
    GrpcClose "proxy_grpc_close" false
    CallForeignFunction "proxy_call_foreign_function" true
    FdWrite "fd_write" false
    FdRead "fd_read" false
    FdSeek "fd_seek" false
    FdClose "fd_close" false
    FdFdstatGet "fd_fdstat_get" false
    EnvironGet "environ_get" false
    EnvironSizesGet "environ_sizes_get" false
    ArgsGet "args_get" false
    ArgsSizesGet "args_sizes_get" false
    ProcExit "proc_exit" false
    ClockTimeGet "clock_time_get" false
    RandomGet "random_get" false
}

impl Call {
    /// The call of this name, [`Call::Unknown`] if Envoy has none.
    pub fn by_name(name: &str) -> Call {
        Call::ALL
            .iter()
            .copied()
            .find(|call| call.name() == name)
            .unwrap_or(Call::Unknown)
    }

    /// Name of the module that it is imported from.
    pub(crate) fn module(self) -> &'static str {
        if self.is_proxy() {
            "env"
        } else {
            "wasi_snapshot_preview1"
        }
    }

    /// Whether it belongs to proxy-wasm rather than to WASI, whose results are errno values and
    /// never failures in Envoy.
    pub fn is_proxy(self) -> bool {
        self.name().starts_with("proxy_")
    }
}

/// Number of calls per function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts([u64; Call::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Counts([0; Call::ALL.len()])
    }
}

impl Counts {
    #[inline]
    pub(crate) fn hit(&mut self, call: Call) {
        self.0[call as usize] += 1;
    }

    /// Number of calls of this function.
    pub fn of(&self, call: Call) -> u64 {
        self.0[call as usize]
    }

    /// Number of all calls.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Number of calls that return bytes, see [`Call::returns_bytes`].
    pub fn returning_bytes(&self) -> u64 {
        self.iter()
            .filter(|(call, _)| call.returns_bytes())
            .map(|(_, count)| count)
            .sum()
    }

    /// The calls that were made, in the order of [`Call::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Call, u64)> + '_ {
        Call::ALL
            .iter()
            .map(|&call| (call, self.of(call)))
            .filter(|&(_, count)| count > 0)
    }

    /// The calls that were made, by name.
    pub fn by_name(&self) -> BTreeMap<&'static str, u64> {
        self.iter()
            .map(|(call, count)| (call.name(), count))
            .collect()
    }
}
