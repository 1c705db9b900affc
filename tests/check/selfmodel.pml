/* selfmodel.pml - two processes that fail in the way that a switch names. selftest puts a head with RUN and BREAK lines before it. */
#ifdef VIOLATED
#define LIMIT 1
#else
#define LIMIT 2
#endif
int count;

active [2] proctype adds()
{
#ifdef STUCK
    count == 3;
#endif
#ifdef ENDLESS
    do
    :: count++
    od;
#endif
    atomic { count++; assert(count <= LIMIT) }
#ifdef UNREACHED
    if
    :: count > 2 -> count = 0
    :: else
    fi
#endif
#ifdef MISSPELT
    count+
#endif
}
