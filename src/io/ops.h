/*
 * ops.h - the one list of instructions
 *
 * OP(name, shown as, children, value, what it does on the way down; on the way up)
 *   children   NONE, ONE (child), TWO (child, second), MANY (items)
 *   value      NONE, HEAD (node->value), STATE (node->state): what a node carries and drops
 * The enum, the names, the walk over children, dropping and printing all come from here; the interpreter's cases are its sentences.
 *
 * The first group does nothing on the way down but to push itself and run its child, the second too, but its frames have room for a
 * result: the interpreter asks for the group alone.
 *
 * The third part are frames that no builder makes: the interpreter's own.                                   ORDER OPS
 */
/*  name          shown as         children value  down                                      up, when its frame is given a result */
OP(MAP,           "map",           ONE,     NONE,  "push, run child",                        "OK: fn(env, value); otherwise pass it on")
OP(FLAT_MAP,      "flat_map",      ONE,     NONE,  "push, run child",                        "OK: run fn(env, value); otherwise pass it on")
OP(THEN,          "then",          TWO,     NONE,  "push, run child",                        "OK: run second; otherwise pass it on")
OP(THEN_KEEP,     "then_keep",     TWO,     NONE,  "push, run child",                        "OK: keep it, run second; otherwise pass it on")
OP(TAP,           "tap",           ONE,     NONE,  "push, run child",                        "OK: fn looks at it; pass it on")
OP(FLATTEN,       "flatten",       ONE,     NONE,  "push, run child",                        "OK: run the value; otherwise pass it on")
OP(ATTEMPT,       "attempt",       ONE,     NONE,  "push, run child",                        "unless CANCELED: OK with it in a box")
OP(CATCH,         "catch",         ONE,     NONE,  "push, run child",                        "ERROR: run fn(env, value); otherwise pass it on")
OP(OR_ELSE,       "or_else",       TWO,     NONE,  "push, run child",                        "ERROR: run second; otherwise pass it on")
OP(RECOVER,       "recover",       ONE,     NONE,  "push, run child",                        "PANIC: run fn(env, value); otherwise pass it on")
OP(MAP_ERROR,     "map_error",     ONE,     NONE,  "push, run child",                        "fn on each error")
OP(MAP_PANIC,     "map_panic",     ONE,     NONE,  "push, run child",                        "fn on each panic")
OP(OR_PANIC,      "or_panic",      ONE,     NONE,  "push, run child",                        "ERROR: PANIC with its value")

OP(CATCH_CODE,    "catch_code",    TWO,     NONE,  "push, run child",                        "ERROR of that code: run second")
OP(OWNS,          "owns",          ONE,     NONE,  "push, run child",                        "drop(env), pass it on")
OP(REDEEM,        "redeem",        ONE,     NONE,  "push, run child",                        "unless CANCELED: run fn(env, result)")
OP(FINALLY,       "finally",       TWO,     NONE,  "push, run child",                        "keep it, run second, merge")
OP(FINALLY_FN,    "finally_fn",    ONE,     NONE,  "push, run child",                        "keep it, run fn(env, result), merge")
OP(ON_FAILURE,    "on_failure",    ONE,     NONE,  "push, run child",                        "ERROR, PANIC: as FINALLY_FN")
OP(ON_CANCEL,     "on_cancel",     TWO,     NONE,  "push, run child",                        "CANCELED: as FINALLY")
OP(ALWAYS,        "always",        TWO,     NONE,  "push, run child",                        "unless CANCELED: keep it, run second, merge")

OP(PURE,          "pure",          NONE,    HEAD,  "result is OK value",                     "-")
OP(RESULT,        "from_result",   NONE,    HEAD,  "result is as it says",                   "-")
OP(DEFER,         "defer",         NONE,    NONE,  "result is fn(env)",                      "-")
OP(DEFER_READ,    "defer_read",    NONE,    NONE,  "result is fn(env, context)",             "-")
OP(SUSPEND,       "suspend",       NONE,    NONE,  "run fn(env)",                            "-")
OP(CALL,          "call",          NONE,    STATE, "run fn(env, state)",                     "-")
OP(AS,            "as",            ONE,     STATE, "push, run child",                        "OK: state; otherwise pass it on")
OP(SEQUENCE,      "sequence",      MANY,    NONE,  "push, run the first",                    "OK: run the next, after the last pass it on")
OP(ZIP,           "zip",           MANY,    NONE,  "push, run the first",                    "OK: gather, run the next, after the last the list")
OP(TRAVERSE,      "traverse",      NONE,    NONE,  "push, run fn(env, 0)",                   "OK: gather, run the next, after the last the list")
OP(EACH,          "each",          NONE,    STATE, "push, run fn(env, first item)",          "OK: gather, run the next, after the last the list")
OP(ITERATE,       "iterate",       NONE,    STATE, "push, run fn(env, state)",               "OK again: run fn anew; otherwise pass it on")
OP(AGAIN,         "again",         NONE,    HEAD,  "result is OK, itself as the value",      "-")
OP(REPEAT,        "repeat",        ONE,     NONE,  "push, run the body",                     "OK: run the body again, the last time pass it on")
OP(FOREVER,       "forever",       ONE,     NONE,  "push, run the body",                     "OK: run the body again; otherwise pass it on")
OP(WHILE,         "while",         ONE,     NONE,  "push, run the body",                     "OK and fn(env, value): run it again; otherwise pass it on")
OP(FOR_EACH,      "for_each",      ONE,     NONE,  "push, run the body",                     "OK: fn on it, then the body again, until it gives none")
OP(RETRY,         "retry",         ONE,     NONE,  "push, run the body",                     "as its schedule says: run a pause, then the body; or pass it on")
OP(REC,           "rec",           NONE,    NONE,  "pin, run fn(env, itself)",               "-")
OP(ASK,           "ask",           NONE,    NONE,  "result is OK context",                   "-")
OP(LOCAL,         "local",         ONE,     STATE, "push, change the context, run child",    "restore the context, pass it on")
OP(CONTRA_MAP,    "contra_map",    ONE,     NONE,  "push, change the context, run child",    "restore the context, pass it on")
OP(KEY_GET,       "key_get",       NONE,    NONE,  "result is OK the key's value",           "-")
OP(WITH_KEY,      "with_key",      ONE,     STATE, "push, set the key, run child",           "restore the context, pass it on")
OP(NAMED,         "named",         ONE,     STATE, "run child",                              "-")
OP(ROUTINE,       "do",            NONE,    NONE,  "push, call step",                        "give it to step, or end")
OP(MASK,          "uncancelable",  ONE,     NONE,  "push, mask + 1, run child",              "mask - 1, pass it on")
OP(UNMASK,        "cancelable",    ONE,     NONE,  "push, mask - 1, run child",              "mask + 1, pass it on")
OP(TIMEOUT,       "timeout",       ONE,     NONE,  "push, open a scope, run child",          "close; CANCELED by it: an error; otherwise pass it on")
OP(TIMEOUT_TO,    "timeout_to",    TWO,     NONE,  "push, open a scope, run child",          "close; CANCELED by it: run second; otherwise pass it on")
OP(MACHINE,       "machine",       NONE,    NONE,  "push, ask the machine what to run",      "ask it again; at last its result")
OP(FORK,          "fork",          ONE,     NONE,  "start a fiber, result is its handle",    "-")
OP(PARALLEL,      "parallel",      MANY,    NONE,  "start fibers, result is their list",     "-")
OP(YIELD,         "yield",         NONE,    NONE,  "result is OK, to the back of the queue", "-")
OP(SELF,          "self",          NONE,    NONE,  "result is OK the own handle",            "-")
OP(PRIM,          "prim",          NONE,    NONE,  "ask the primitive; push and park",       "-")
OP(HOLD,          "hold",          ONE,     NONE,  "acquire; push, run child",               "give back, merge")

#ifdef FRAME_OP
FRAME_OP(PIN,     "pin",           NONE,    NONE,  "-",                                      "drop the pinned node, pass it on")
FRAME_OP(KEEP,    "keep",          NONE,    HEAD,  "-",                                      "drop the value, pass it on")
FRAME_OP(KEEP_ALL,"keep_all",      NONE,    NONE,  "-",                                      "drop the result, pass it on")
FRAME_OP(GIVE,    "give",          NONE,    HEAD,  "-",                                      "OK: the value in its place; otherwise pass it on")
FRAME_OP(MERGE,   "merge",         NONE,    NONE,  "-",                                      "the result with what its finalizer gave")
FRAME_OP(ROUTINE_OVER, "do", NONE, NONE, "-",                                     "what it held is released: end, or become")
FRAME_OP(MEMBER,  "member",        NONE,    NONE,  "-",                                      "leave the scope, pass it on")
FRAME_OP(RESTORE, "restore",       NONE,    NONE,  "-",                                      "the context of outside, pass it on")
#endif
