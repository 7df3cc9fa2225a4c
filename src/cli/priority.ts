/** Of threads that move user data, where the system allows it: pacers come before them, all programs after them. A
 * program that is waited for by those who use it would else wait for them. */
export const DATA_NICE = -20;
