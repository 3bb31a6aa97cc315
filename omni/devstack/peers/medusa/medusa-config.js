// The real Medusa as a shop on this machine: no Redis (its in-memory bus, cache, locks and workflow engine are the
// defaults), no admin pages, and nothing that asks another machine.
const { defineConfig } = require("@medusajs/framework/utils");

const cors = process.env.MEDUSA_BASE_URL;

module.exports = defineConfig({
  admin: { disable: true },
  projectConfig: {
    databaseUrl: process.env.DATABASE_URL,
    databaseDriverOptions: { ssl: false },
    http: {
      storeCors: cors,
      adminCors: cors,
      authCors: cors,
      jwtSecret: process.env.MEDUSA_JWT_SECRET,
      cookieSecret: process.env.MEDUSA_COOKIE_SECRET,
    },
  },
});
