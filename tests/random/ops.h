/*
 * ops.h - the one list of what random programs are made of
 *
 * OP(name, shown as, kids, bodies, how, value, weight, where)
 *   kids     terms that stand inside, the bodies among them; MANY: as many as are drawn, at most TERM_KIDS
 *   bodies   how many of the kids, the last ones, are built by its callback, each time that it is called
 *   how      the list of variants in program.c (`ways`) of which one is drawn
 *   value    CARRIES: a value that its io holds from the beginning; BEARS: one that a callback makes; NONE
 *   weight   how often it is drawn, in comparison; 0: not by itself
 *   where    EVERYWHERE; ALONE, BESIDE: in programs of one fiber, of several; UNHELD: where no lock and no permit is held; FIRST: likewise,
 *            and only in the main fiber
 *
 * What a line means stands twice: build.c makes the io of it, evaluate.c says what must come out.
 */
/*  name          shown as        kids  bodies  how       value    weight  where */
OP(UNIT,          "unit",         0,    0,      PLAIN,    NONE,    3,      EVERYWHERE)
OP(PURE,          "pure",         0,    0,      PLAIN,    CARRIES, 12,     EVERYWHERE)
OP(FAIL,          "fail",         0,    0,      PLAIN,    CARRIES, 4,      EVERYWHERE)
OP(FAILF,         "failf",        0,    0,      PLAIN,    NONE,    1,      EVERYWHERE)
OP(PANICF,        "panicf",       0,    0,      PLAIN,    NONE,    1,      EVERYWHERE)
OP(RESULT,        "from_result",  0,    0,      TAGS,     CARRIES, 3,      EVERYWHERE)
OP(BAD,           "bad argument", 0,    0,      BAD,      CARRIES, 1,      EVERYWHERE)
OP(DEFER,         "defer",        0,    0,      DEFER,    BEARS,   12,     EVERYWHERE)
OP(LOOK,          "look",         0,    0,      PLAIN,    NONE,    10,     EVERYWHERE)
OP(VAR,           "var",          0,    0,      PLAIN,    NONE,    15,     EVERYWHERE)
OP(AGAIN,         "again",        0,    0,      AGAIN,    NONE,    25,     EVERYWHERE)
OP(ASK,           "ask",          0,    0,      PLAIN,    NONE,    2,      EVERYWHERE)
OP(READ,          "defer_read",   0,    0,      PLAIN,    NONE,    2,      EVERYWHERE)
OP(KEY_GET,       "key_get",      0,    0,      PLAIN,    NONE,    4,      EVERYWHERE)
OP(SELF,          "self",         0,    0,      PLAIN,    NONE,    1,      EVERYWHERE)
OP(YIELD,         "yield",        0,    0,      PLAIN,    NONE,    3,      EVERYWHERE)
OP(SLEEP,         "sleep",        0,    0,      SLEEP,    NONE,    2,      EVERYWHERE)
OP(NOW,           "now",          0,    0,      PLAIN,    NONE,    1,      EVERYWHERE)
OP(NEVER,         "never",        0,    0,      PLAIN,    NONE,    1,      UNHELD)
OP(ASYNC,         "async",        0,    0,      ASYNC,    BEARS,   5,      EVERYWHERE)
OP(MEET,          "async, resumed by a fiber", 0, 0, TAGS, BEARS,  4,      BESIDE)

OP(MAP,           "map",          1,    0,      MAP,      NONE,    10,     EVERYWHERE)
OP(TAP,           "tap",          1,    0,      PLAIN,    NONE,    3,      EVERYWHERE)
OP(FLATTEN,       "flatten",      1,    0,      FLATTEN,  NONE,    3,      EVERYWHERE)
OP(ATTEMPT,       "attempt",      1,    0,      PLAIN,    NONE,    4,      EVERYWHERE)
OP(MAP_ERROR,     "map_error",    1,    0,      MAP,      NONE,    4,      EVERYWHERE)
OP(MAP_PANIC,     "map_panic",    1,    0,      MAP,      NONE,    4,      EVERYWHERE)
OP(OR_PANIC,      "or_panic",     1,    0,      PLAIN,    NONE,    2,      EVERYWHERE)
OP(NAMED,         "named",        1,    0,      PLAIN,    NONE,    2,      EVERYWHERE)
OP(OWNS,          "owns",         1,    0,      PLAIN,    NONE,    2,      EVERYWHERE)
OP(AS,            "as",           1,    0,      PLAIN,    CARRIES, 3,      EVERYWHERE)
OP(WHEN,          "when",         1,    0,      PLAIN,    NONE,    1,      EVERYWHERE)
OP(LOCAL,         "local",        1,    0,      PLAIN,    CARRIES, 4,      EVERYWHERE)
OP(CONTRA_MAP,    "contra_map",   1,    0,      CONTEXT,  BEARS,   3,      EVERYWHERE)
OP(WITH_KEY,      "with_key",     1,    0,      PLAIN,    CARRIES, 4,      EVERYWHERE)
OP(REPEAT,        "repeat",       1,    0,      PLAIN,    NONE,    3,      EVERYWHERE)
OP(RETRY,         "once more",    1,    0,      RETRY,    NONE,    4,      EVERYWHERE)
OP(FOREVER,       "forever",      1,    0,      PLAIN,    BEARS,   2,      EVERYWHERE)
OP(WHILE,         "while",        1,    0,      PLAIN,    NONE,    2,      EVERYWHERE)
OP(REC,           "rec",          1,    1,      REC,      NONE,    3,      EVERYWHERE)
OP(SUSPEND,       "suspend",      1,    1,      SUSPEND,  NONE,    4,      EVERYWHERE)
OP(CALL,          "call",         1,    1,      USE,      CARRIES, 4,      EVERYWHERE)
OP(TRAVERSE,      "traverse",     1,    1,      SUSPEND,  NONE,    3,      EVERYWHERE)
OP(EACH,          "each",         1,    1,      USE,      CARRIES, 4,      EVERYWHERE)
OP(ITERATE,       "iterate",      1,    1,      USE,      CARRIES, 6,      EVERYWHERE)
OP(TWICE,         "twice",        1,    0,      TWICE,    NONE,    4,      EVERYWHERE)

OP(THEN,          "then",         2,    0,      PLAIN,    NONE,    8,      EVERYWHERE)
OP(THEN_KEEP,     "then_keep",    2,    0,      PLAIN,    NONE,    4,      EVERYWHERE)
OP(OR_ELSE,       "or_else",      2,    0,      PLAIN,    NONE,    4,      EVERYWHERE)
OP(CATCH_CODE,    "catch_code",   2,    0,      PLAIN,    NONE,    3,      EVERYWHERE)
OP(FINALLY,       "finally",      2,    0,      PLAIN,    NONE,    6,      EVERYWHERE)
OP(ON_CANCEL,     "on_cancel",    2,    0,      PLAIN,    NONE,    3,      EVERYWHERE)
OP(ALWAYS,        "always",       2,    0,      PLAIN,    NONE,    3,      EVERYWHERE)
OP(FLAT_MAP,      "flat_map",     2,    1,      USE,      NONE,    20,     EVERYWHERE)
OP(CATCH,         "catch",        2,    1,      USE,      NONE,    8,      EVERYWHERE)
OP(RECOVER,       "recover",      2,    1,      USE,      NONE,    6,      EVERYWHERE)
OP(FOR_EACH,      "for_each",     2,    1,      USE,      BEARS,   3,      EVERYWHERE)
OP(REDEEM,        "redeem",       2,    1,      REDEEM,   NONE,    6,      EVERYWHERE)
OP(FINALLY_FN,    "finally_fn",   2,    1,      FINAL,    NONE,    5,      EVERYWHERE)
OP(ON_FAILURE,    "on_failure",   2,    1,      FINAL,    NONE,    4,      EVERYWHERE)
OP(LET,           "let",          2,    1,      PLAIN,    NONE,    5,      EVERYWHERE)
OP(SEQUENCE,      "sequence",     MANY, 0,      PLAIN,    NONE,    4,      EVERYWHERE)
OP(ZIP,           "zip",          MANY, 0,      PLAIN,    NONE,    4,      EVERYWHERE)
OP(ROUTINE,       "do",           4,    4,      ROUTINE,  NONE,    12,     EVERYWHERE)

OP(HOLD,          "hold",         1,    0,      HOLD,     NONE,    12,     EVERYWHERE)
OP(TRY,           "try",          0,    0,      PLAIN,    NONE,    4,      EVERYWHERE)
OP(WAIT_SELF,     "wait for itself", 0, 0,      WAIT,     NONE,    1,      EVERYWHERE)
OP(WAIT_FOR,      "wait for it",  1,    0,      WAIT,     NONE,    4,      FIRST)
OP(ASK_WRONG,     "ask wrongly",  0,    0,      WRONG,    NONE,    2,      EVERYWHERE)
OP(RELEASE_FREE,  "release what is free", 0, 0, PLAIN,    NONE,    1,      UNHELD)
OP(ACQUIRE,       "acquire",      0,    0,      PLAIN,    NONE,    4,      ALONE)
OP(RELEASE,       "release",      0,    0,      PLAIN,    NONE,    4,      ALONE)

OP(FORK,          "fork",         1,    1,      FORK,     NONE,    8,      BESIDE)
OP(PARALLEL,      "parallel",     MANY, MANY,   PARALLEL, NONE,    12,     BESIDE)
OP(ALIKE,         "alike",        1,    1,      PLAIN,    NONE,    4,      BESIDE)
