/** Of threads that move user data, where the system allows it: pacers come before them, all programs after them. A
 * program that is waited for by those who use it would else wait for them. */
export const DATA_NICE = -20;

/** Of the main isolate where it moves no user data: handshakes, signals, the status socket. Between what it does and a
 * Worker of DATA_NICE that is busy all the time, 1/4 of the CPU is its own. At normal priority that is 1/90: on a machine
 * with too much to do a tunnel came up, and heard SIGTERM, 10 minutes late. */
export const MAIN_NICE = -15;
