// What scim-patch makes of resources: standard input is a JSON list of {resource, operations}, standard output a JSON list
// of {resource} or {error}.
const { scimPatch, patchBodyValidation } = require("scim-patch");

const PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

function patched({ resource, operations }) {
  try {
    patchBodyValidation({ schemas: [PATCH_OP], Operations: operations });
    return { resource: scimPatch(resource, operations, { mutateDocument: true, treatMissingAsAdd: true }) };
  } catch (error) {
    return { error: error.scimCode || error.name };
  }
}

let text = "";
process.stdin.setEncoding("utf8");
process.stdin.on("data", (piece) => (text += piece));
process.stdin.on("end", () => process.stdout.write(JSON.stringify(JSON.parse(text).map(patched))));
