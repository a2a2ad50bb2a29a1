/** A disk that fails when it is told to: the default file system behind one that counts. */
package ai.nibble.fault;
