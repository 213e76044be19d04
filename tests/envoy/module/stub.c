/* A host for the native module: it calls the hooks in random order, on several threads, and answers with
   hostile values: null, huge, not UTF-8, or a refusal. Each value is a block of memory of its exact size,
   and a change of a header moves all of them, so Valgrind sees every read that the ABI does not allow.
   It ends with code 1 if the module breaks a rule of the ABI.

   Usage: stub libdivvy.so CALLS SEED CONFIGURATION...   (files; others are made from them by changes) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 3, OPEN = 6, LINES = 24, METRICS = 4096, STATES = 8, TEXTS = 16, ROUNDS = 10 };

typedef struct { char *at; size_t length; } Bytes;
typedef struct { Bytes name, value; } Line;
typedef struct { Line lines[LINES + 8]; size_t count; } Headers;

typedef struct {
  const void *module; /* what the module returned */
  size_t labels[METRICS];
  _Atomic size_t metrics;
  bool frozen;
  _Atomic int references;
} Config;

typedef struct {
  Config *config;
  void *module;
  Headers maps[4]; /* request, request trailers, response, response trailers */
  Bytes keys[STATES], values[STATES], text;
  size_t states;
} Filter;

typedef struct Scheduler { Config *config; struct Scheduler *next; } Scheduler;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* current, schedulers */
static Config *current;
static Scheduler *schedulers;
static _Atomic uint64_t hooks, callbacks, due, checksum;
static _Atomic int open_schedulers, broken;
static Bytes texts[TEXTS];
static size_t text_count;
static _Thread_local uint64_t state;
static _Thread_local uint32_t worker;

static void breaks(const char *rule) {
  fprintf(stderr, "the module breaks a rule of the ABI: %s\n", rule);
  broken = 1;
}

static uint64_t bits(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state * 0x2545F4914F6CDD1DULL;
}
static size_t below(size_t end) { return (size_t)((bits() >> 16) % end); }
static bool one_in(size_t many) { return below(many) == 0; }

static Bytes copy(const char *at, size_t length) {
  Bytes bytes = {malloc(length ? length : 1), length};
  memcpy(bytes.at, at, length);
  return bytes;
}
static Bytes text(const char *of) { return copy(of, strlen(of)); }
/* Reads what the module passes. */
static void take(Bytes bytes) {
  uint64_t sum = 0;
  if (!bytes.at && bytes.length) breaks("a null pointer with a length");
  for (size_t i = 0; bytes.at && i < bytes.length; i++) sum += (unsigned char)bytes.at[i];
  checksum += sum;
}
static void enter(void) { callbacks++; }
/* ---- hostile values ---- */

static const char *const NAMES[] = {":path", ":method", ":authority", ":status", "x-user-id", "cookie", "x-divvy-route",
  "x-divvy-assignment", "x-divvy-mirror", "x-divvy-unit", "baggage", "set-cookie", "content-type", "grpc-status",
  "cache-control", "x-forwarded-for", "x-a", "x-b", "x-label", "upgrade", "user-agent", "", "x\xff"};
static const char *const VALUES[] = {"GET", "POST", "/checkout?uid=7&q=%zz", "/", "shop.example.com", "200", "503", "alice",
  "a=b; uid=1; s0=1:00000000:v2:5; ring=beta", "application/grpc", "websocket", "checkout=v2;reason=split, r0=v1",
  "?;;==,,", "\xff\xfe\x80", "a\0b", "v2", "k=v;;w", "0", "14", "18446744073709551616", "public, max-age=60", "2.3.1"};

static Bytes value(void) {
  if (one_in(40)) return (Bytes){NULL, 0};
  if (one_in(4000)) {
    Bytes huge = {malloc(1 << 20), 1 << 20};
    memset(huge.at, (int)bits(), huge.length);
    return huge;
  }
  if (one_in(12)) {
    Bytes random = {malloc(64), below(64)};
    for (size_t i = 0; i < 64; i++) random.at[i] = (char)bits();
    return random;
  }
  const char *chosen = VALUES[below(sizeof VALUES / sizeof *VALUES)];
  return copy(chosen, chosen[0] == 'a' && chosen[1] == 0 ? 3 : strlen(chosen));
}

static void clear(Headers *map) {
  for (size_t i = 0; i < map->count; i++) free(map->lines[i].name.at), free(map->lines[i].value.at);
  map->count = 0;
}
static void fill(Headers *map) {
  clear(map);
  for (size_t wanted = below(LINES); map->count < wanted; map->count++)
    map->lines[map->count] = (Line){text(NAMES[below(sizeof NAMES / sizeof *NAMES)]), value()};
}
/* New memory for each line, as after a change in Envoy. */
static void move(Headers *map) {
  for (size_t i = 0; i < map->count; i++) {
    Line *line = &map->lines[i], old = *line;
    line->name = copy(old.name.at, old.name.length);
    if (old.value.at) line->value = copy(old.value.at, old.value.length);
    free(old.name.at), free(old.value.at);
  }
}
static bool same(Bytes one, Bytes other) {
  return one.length == other.length && !memcmp(one.at, other.at, one.length);
}

/* ---- what the module calls ---- */

void envoy_dynamic_module_callback_log(uint32_t level, Bytes message) { enter(), take(message), checksum += level; }
bool envoy_dynamic_module_callback_log_enabled(uint32_t level) { return enter(), level >= 2; }
uint32_t envoy_dynamic_module_callback_get_concurrency(void) { return enter(), WORKERS; }

static uint32_t define(Config *config, Bytes name, const Bytes *labels, size_t count, size_t *id) {
  enter(), take(name);
  for (size_t i = 0; i < count; i++) take(labels[i]);
  if (config->frozen) breaks("a metric is defined after the configuration was created");
  if (one_in(500) || config->metrics == METRICS) return 1 + (uint32_t)below(3);
  *id = config->metrics++;
  config->labels[*id] = count;
  return 0;
}
static uint32_t change(Config *config, size_t id, const Bytes *labels, size_t count, uint64_t by) {
  enter(), checksum += by;
  for (size_t i = 0; i < count; i++) take(labels[i]);
  if (id >= config->metrics || config->labels[id] != count) breaks("a metric that is not defined");
  return (uint32_t)(one_in(100) ? 1 : 0);
}
#define DEFINE(kind) \
  uint32_t envoy_dynamic_module_callback_http_filter_config_define_##kind(Config *c, Bytes n, const Bytes *l, size_t s, size_t *id) \
  { return define(c, n, l, s, id); }
DEFINE(counter) DEFINE(gauge) DEFINE(histogram)
#define CHANGE(kind) \
  uint32_t envoy_dynamic_module_callback_http_filter_config_##kind(Config *c, size_t id, const Bytes *l, size_t s, uint64_t v) \
  { return change(c, id, l, s, v); } \
  uint32_t envoy_dynamic_module_callback_http_filter_##kind(Filter *f, size_t id, const Bytes *l, size_t s, uint64_t v) \
  { return change(f->config, id, l, s, v); }
CHANGE(increment_counter) CHANGE(set_gauge) CHANGE(record_histogram_value)

static Headers *map_of(Filter *filter, uint32_t map) {
  if (map > 3) breaks("a header map that does not exist");
  return &filter->maps[map & 3];
}
bool envoy_dynamic_module_callback_http_get_header(Filter *filter, uint32_t map, Bytes name, Bytes *found, size_t index, size_t *count) {
  enter(), take(name);
  Headers *headers = map_of(filter, map);
  size_t seen = 0;
  *found = (Bytes){NULL, 0};
  if (one_in(60)) return false;
  for (size_t i = 0; i < headers->count; i++)
    if (same(headers->lines[i].name, name) && seen++ == index) *found = headers->lines[i].value;
  if (count) *count = seen;
  return seen > index;
}
size_t envoy_dynamic_module_callback_http_get_headers_size(Filter *filter, uint32_t map) { return enter(), map_of(filter, map)->count; }
bool envoy_dynamic_module_callback_http_get_headers(Filter *filter, uint32_t map, Line *lines) {
  enter();
  if (one_in(60)) return false;
  memcpy(lines, map_of(filter, map)->lines, map_of(filter, map)->count * sizeof *lines);
  return true;
}
static bool write_header(Filter *filter, uint32_t map, Bytes name, Bytes with, bool replace) {
  enter(), take(name), take(with);
  Headers *headers = map_of(filter, map);
  if (one_in(60)) return false;
  Line line = {copy(name.at, name.length), with.at ? copy(with.at, with.length) : (Bytes){NULL, 0}};
  for (size_t i = 0; replace && i < headers->count;) {
    if (!same(headers->lines[i].name, line.name)) { i++; continue; }
    free(headers->lines[i].name.at), free(headers->lines[i].value.at);
    headers->lines[i] = headers->lines[--headers->count];
  }
  move(headers);
  if (line.value.at && headers->count < LINES + 8) headers->lines[headers->count++] = line;
  else free(line.name.at), free(line.value.at);
  return true;
}
bool envoy_dynamic_module_callback_http_add_header(Filter *f, uint32_t m, Bytes n, Bytes v) { return write_header(f, m, n, v, false); }
bool envoy_dynamic_module_callback_http_set_header(Filter *f, uint32_t m, Bytes n, Bytes v) { return write_header(f, m, n, v, true); }
void envoy_dynamic_module_callback_http_clear_route_cache(Filter *filter) { enter(), checksum += (uint64_t)(filter != NULL); }
size_t envoy_dynamic_module_callback_http_get_body_size(Filter *filter, uint32_t body) {
  return enter(), checksum += (uint64_t)(filter != NULL) + body, one_in(20) ? SIZE_MAX : below(1 << 20);
}
bool envoy_dynamic_module_callback_http_set_filter_state_bytes(Filter *filter, Bytes key, Bytes with) {
  enter(), take(key), take(with);
  if (one_in(20) || filter->states == STATES) return false;
  filter->keys[filter->states] = copy(key.at, key.length);
  filter->values[filter->states++] = copy(with.at, with.length);
  return true;
}
bool envoy_dynamic_module_callback_http_get_filter_state_bytes(Filter *filter, Bytes key, Bytes *found) {
  enter(), take(key);
  *found = (Bytes){NULL, 0};
  if (one_in(20)) return one_in(2);
  for (size_t i = 0; i < filter->states; i++)
    if (same(filter->keys[i], key)) return *found = filter->values[i], true;
  return false;
}
bool envoy_dynamic_module_callback_http_filter_get_attribute_string(Filter *filter, uint32_t attribute, Bytes *found) {
  enter(), checksum += attribute;
  free(filter->text.at);
  filter->text = one_in(3) ? text("10.1.2.3:4711") : value();
  return *found = filter->text, !one_in(10);
}
bool envoy_dynamic_module_callback_http_filter_get_attribute_int(Filter *filter, uint32_t attribute, uint64_t *found) {
  enter(), checksum += attribute + (uint64_t)(filter != NULL);
  return *found = one_in(2) ? bits() : below(600), !one_in(10);
}
uint32_t envoy_dynamic_module_callback_http_filter_get_worker_index(Filter *filter) { return enter(), filter ? worker : 0; }
void envoy_dynamic_module_callback_http_get_timing_info(void) {} /* a name that 1.40 has */

Scheduler *envoy_dynamic_module_callback_http_filter_config_scheduler_new(Config *config) {
  Scheduler *scheduler = malloc(sizeof *scheduler);
  enter(), open_schedulers++, scheduler->config = config;
  pthread_mutex_lock(&lock);
  scheduler->next = schedulers, schedulers = scheduler;
  pthread_mutex_unlock(&lock);
  return scheduler;
}
void envoy_dynamic_module_callback_http_filter_config_scheduler_commit(Scheduler *scheduler, uint64_t event) {
  enter(), checksum += event + (uint64_t)(scheduler->config != NULL), due++;
}
void envoy_dynamic_module_callback_http_filter_config_scheduler_delete(Scheduler *scheduler) {
  enter(), open_schedulers--;
  pthread_mutex_lock(&lock);
  for (Scheduler **at = &schedulers; *at; at = &(*at)->next)
    if (*at == scheduler) { *at = scheduler->next; break; }
  pthread_mutex_unlock(&lock);
  free(scheduler);
}

/* ---- what the module is called with ---- */

#define HOOK(name, result, ...) static result (*name)(__VA_ARGS__)
HOOK(config_new, const void *, Config *, Bytes, Bytes);
HOOK(config_destroy, void, const void *);
HOOK(config_scheduled, void, Config *, const void *, uint64_t);
HOOK(filter_new, void *, const void *, Filter *);
HOOK(filter_destroy, void, void *);
HOOK(headers_hook[2], uint32_t, Filter *, void *, bool);
HOOK(body_hook[2], uint32_t, Filter *, void *, bool);
HOOK(trailers_hook[2], uint32_t, Filter *, void *);
HOOK(stream_complete, void, Filter *, void *);
HOOK(local_reply, uint32_t, Filter *, void *, uint32_t, Bytes, bool);

static void *hook(void *module, const char *name) {
  char full[128];
  snprintf(full, sizeof full, "envoy_dynamic_module_on_http_filter_%s", name);
  void *found = dlsym(module, full);
  if (!found) fprintf(stderr, "%s\n", dlerror()), exit(2);
  return found;
}

static void release(Config *config) {
  if (--config->references) return;
  hooks++, config_destroy(config->module);
  free(config);
}

/* A new configuration, which the following streams use. */
static void configure(bool plain) {
  Bytes given = texts[below(text_count)], config_text = copy(given.at, given.length), name = text("divvy");
  for (size_t changes = plain ? 0 : below(4); changes && config_text.length; changes--)
    config_text.at[below(config_text.length)] = (char)bits();
  if (!plain && one_in(4)) config_text.length = below(config_text.length + 1);
  if (!plain && one_in(20)) free(config_text.at), config_text = (Bytes){NULL, 0};
  if (!plain && one_in(20)) free(name.at), name = (Bytes){NULL, 0};
  Config *config = calloc(1, sizeof *config), *before = NULL;
  config->references = 1;
  hooks++, config->module = config_new(config, name, config_text);
  config->frozen = true;
  free(config_text.at), free(name.at);
  if (!config->module) { free(config); return; }
  pthread_mutex_lock(&lock);
  before = current, current = config;
  pthread_mutex_unlock(&lock);
  if (before) release(before);
}

static Filter *open_stream(void) {
  Filter *filter = calloc(1, sizeof *filter);
  pthread_mutex_lock(&lock);
  filter->config = current, current->references++;
  pthread_mutex_unlock(&lock);
  for (int map = 0; map < 4; map++) fill(&filter->maps[map]);
  hooks++, filter->module = filter_new(filter->config->module, filter);
  return filter;
}

static void end(Filter *filter) {
  if (!one_in(10)) hooks++, stream_complete(filter, filter->module);
  hooks++, filter_destroy(filter->module);
  for (int map = 0; map < 4; map++) clear(&filter->maps[map]);
  for (size_t i = 0; i < filter->states; i++) free(filter->keys[i].at), free(filter->values[i].at);
  free(filter->text.at);
  release(filter->config);
  free(filter);
}

/* Mostly the next hook of a usual stream, sometimes any. */
static void step(Filter *filter, size_t nth) {
  size_t which = one_in(5) ? below(8) : nth;
  Bytes details = value();
  hooks++;
  switch (which) {
    case 0: headers_hook[0](filter, filter->module, one_in(2)); break;
    case 1: body_hook[0](filter, filter->module, one_in(2)); break;
    case 2: trailers_hook[0](filter, filter->module); break;
    case 3: headers_hook[1](filter, filter->module, one_in(2)); break;
    case 4: body_hook[1](filter, filter->module, one_in(2)); break;
    case 5: trailers_hook[1](filter, filter->module); break;
    case 6: stream_complete(filter, filter->module); break;
    default: local_reply(filter, filter->module, (uint32_t)bits(), details, one_in(2));
  }
  free(details.at);
}

typedef struct { uint64_t seed, steps; uint32_t index; } Work;
static void *work(void *argument) {
  Work *of = argument;
  Filter *open[OPEN] = {0};
  size_t at[OPEN] = {0};
  state = of->seed, worker = of->index;
  for (uint64_t i = 0; i < of->steps; i++) {
    size_t which = below(OPEN);
    if (!open[which]) open[which] = open_stream(), at[which] = 0;
    step(open[which], at[which]++);
    if (at[which] > 6 || one_in(30)) end(open[which]), open[which] = NULL;
  }
  for (size_t i = 0; i < OPEN; i++) if (open[i]) end(open[i]);
  return NULL;
}

static Bytes read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) perror(path), exit(2);
  Bytes bytes = {malloc(1 << 20), 0};
  bytes.length = fread(bytes.at, 1, 1 << 20, file);
  fclose(file);
  return bytes;
}

int main(int count, char **arguments) {
  if (count < 5) return fprintf(stderr, "stub libdivvy.so CALLS SEED CONFIGURATION...\n"), 2;
  void *module = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (!module) return fprintf(stderr, "%s\n", dlerror()), 2;
  const char *(*program_init)(void) = dlsym(module, "envoy_dynamic_module_on_program_init");
  printf("ABI %s\n", program_init());
  config_new = hook(module, "config_new"), config_destroy = hook(module, "config_destroy");
  config_scheduled = hook(module, "config_scheduled");
  filter_new = hook(module, "new"), filter_destroy = hook(module, "destroy");
  headers_hook[0] = hook(module, "request_headers"), headers_hook[1] = hook(module, "response_headers");
  body_hook[0] = hook(module, "request_body"), body_hook[1] = hook(module, "response_body");
  trailers_hook[0] = hook(module, "request_trailers"), trailers_hook[1] = hook(module, "response_trailers");
  stream_complete = hook(module, "stream_complete"), local_reply = hook(module, "local_reply");
  uint64_t calls = strtoull(arguments[2], NULL, 10);
  state = strtoull(arguments[3], NULL, 10) * 2 + 1;
  for (int i = 4; i < count && text_count < TEXTS; i++) texts[text_count++] = read_file(arguments[i]);
  configure(true);
  if (!current) return fprintf(stderr, "the first configuration is refused\n"), 1;
  for (int round = 0; round < ROUNDS; round++) {
    pthread_t threads[WORKERS];
    Work works[WORKERS];
    for (uint32_t i = 0; i < WORKERS; i++) {
      works[i] = (Work){bits() | 1, calls / ROUNDS / WORKERS, i};
      pthread_create(&threads[i], NULL, work, &works[i]);
    }
    /* The main thread: new configurations and due events while the workers work. */
    for (int i = 0; i < 40; i++) {
      configure(one_in(3));
      for (int events = 0; events < 3; events++) hooks++, config_scheduled(current, current->module, 0);
    }
    for (uint32_t i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    printf("round %d: %llu hooks, %llu callbacks, %zu bytes allocated\n", round, (unsigned long long)hooks,
      (unsigned long long)callbacks, mallinfo2().uordblks);
  }
  release(current);
  for (size_t i = 0; i < text_count; i++) free(texts[i].at);
  printf("%llu events were due, %d schedulers are left\n", (unsigned long long)due, (int)open_schedulers);
  if (open_schedulers) breaks("a scheduler is not deleted");
  return broken;
}
