/**
 * Models from the Hugging Face hub, or a mirror that speaks its protocol, in the cache that the
 * Python tools use: what either has fetched the other finds.
 *
 * <pre>
 * GET  ENDPOINT/api/models/ID/revision/REV?blobs=true   the commit, and its files with sizes and sums
 * HEAD ENDPOINT/ID/resolve/COMMIT/FILE                  of files of which the above says no sum
 * GET  ENDPOINT/ID/resolve/COMMIT/FILE                  the bytes, often behind a redirect; Range resumes
 *
 * CACHE/models--ORG--NAME/refs/REV                      text: the commit that REV was last time
 * CACHE/models--ORG--NAME/blobs/SUM                     bytes; SHA-256 of large files, git's SHA-1 of others
 * CACHE/models--ORG--NAME/snapshots/COMMIT/FILE         a relative symbolic link to its blob
 * CACHE/.locks/models--ORG--NAME/SUM.lock               held while the blob is fetched
 * </pre>
 *
 * <p>A file appears under its name only when its size and its sum are what the hub said. The token
 * goes to the endpoint's own host and nowhere else, and into no message.
 *
 * <p>Source: {@code file_download.py}, {@code constants.py} and {@code _local_folder.py} of
 * huggingface_hub; how its users were let down: huggingface_hub issues 2197 and 3643.
 */
package ai.nibble.hub;
