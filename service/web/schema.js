// What of the OpenAPI document a training form is made of.

const NOT_OPTIONS = new Set(["architecture", "name", "data"]);

/** {architectures: [{name, description, options, optionsOnWaves, defaults}], options: [option], waves: [option]}. */
export function readSchema(openapi) {
  const schemas = openapi.components.schemas;
  const { properties } = schemas.TrainBody;
  const architectures = properties.architecture.oneOf.map((word) => ({
    name: word.const, description: word.description, options: word["x-options"], optionsOnWaves: word["x-options-on-waves"], defaults: word["x-defaults"] || {},
  }));
  const waves = Object.entries(schemas.DataBody.properties)
    .filter(([, property]) => (property.description || "").startsWith("synthetic:"))
    .map(([name, property]) => readOption(name, property, schemas));
  const options = Object.entries(properties).filter(([name]) => !NOT_OPTIONS.has(name)).map(([name, property]) => readOption(name, property, schemas));
  return { architectures, options, waves };
}

/** {name, type, choices, description, usual, minimum, maximum, fields}. An object's fields are options of their own. */
function readOption(name, property, schemas) {
  const type = (property.anyOf || [property]).find((kind) => kind.type !== "null");
  const object = type.$ref && schemas[type.$ref.split("/").pop()];
  return {
    name,
    type: object ? "object" : type.enum ? "choice" : type.type,
    choices: type.enum || [],
    description: (object?.description || property.description || "").replace(/^synthetic: /, ""),
    usual: property["x-default"] ?? "",
    minimum: type.minimum ?? type.exclusiveMinimum,
    maximum: type.maximum ?? type.exclusiveMaximum,
    fields: object ? Object.entries(object.properties).map(([field, inner]) => readOption(field, inner, schemas)) : [],
  };
}
